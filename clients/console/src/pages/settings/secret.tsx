import { Button, Code, CopyButton, Group, Modal, Stack, Text } from "@mantine/core";
import { useMessages } from "../../i18n/messages.ts";
import { IconCheck } from "../../parts/icons.ts";
import { messages as parts } from "../../parts/messages.ts";
import { messages } from "./messages.ts";

interface SecretProps {
  readonly title: string;
  readonly text: string;
  readonly value: string;
  readonly onClose: () => void;
}

/** What is shown this once: it goes when somebody says that they have it, not by a click beside it. */
export function Secret({ title, text, value, onClose }: SecretProps) {
  const t = useMessages(messages);
  const { copy: copyText, copied: copiedText } = useMessages(parts);
  return (
    <Modal
      opened
      onClose={onClose}
      title={title}
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      <Stack gap="md">
        <Text size="sm">{text}</Text>
        <Code block style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }} data-secret>
          {value}
        </Code>
        <Group justify="flex-end" gap="xs">
          <CopyButton value={value}>
            {({ copied, copy }) => (
              <Button variant="default" onClick={copy} leftSection={copied ? <IconCheck size={16} /> : undefined}>
                {copied ? copiedText : copyText}
              </Button>
            )}
          </CopyButton>
          <Button onClick={onClose}>{t.haveIt}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
