// One file for all: what is drawn is loaded with the page that draws it.
export {
  IconAlertTriangle,
  IconBook2,
  IconChevronRight,
  IconCloudOff,
  IconCompass,
  IconDotsVertical,
  IconLanguage,
  IconLogout,
  IconMessageCircle,
  IconMoodEmpty,
  IconRefresh,
  IconSend2,
  IconSun,
  IconX,
} from "@tabler/icons-react";
