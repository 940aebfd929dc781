import { lazy, Suspense, useState } from "react";
import { AccountButton } from "./account-button.tsx";

// Loaded when somebody opens it.
const AccountMenu = lazy(() => import("./account-menu.tsx"));

/** Who is signed in and where; opened, their preferences, and the way out. */
export function Account() {
  const [isWanted, setWanted] = useState(false);
  const button = (
    <AccountButton
      aria-haspopup="menu"
      onClick={() => {
        setWanted(true);
      }}
    />
  );
  return isWanted ? (
    <Suspense fallback={button}>
      <AccountMenu />
    </Suspense>
  ) : (
    button
  );
}
