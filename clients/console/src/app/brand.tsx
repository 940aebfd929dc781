import { Group, Text } from "@mantine/core";

export function Brand() {
  return (
    <Group gap={10} wrap="nowrap">
      <img src="/favicon.svg" width={28} height={28} alt="" />
      <Text fw={700} size="md" style={{ letterSpacing: "-0.01em" }}>
        SBA Agentic
      </Text>
    </Group>
  );
}
