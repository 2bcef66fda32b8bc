"use client";

import { useSyncStatus } from "doable-client/react";

export function SyncBadge() {
  const { open, online, pending } = useSyncStatus();
  const changes = pending === 1 ? "1 change" : `${pending} changes`;
  const [state, text] = !open ? ["opening", "Opening …"]
    : !online ? ["offline", pending ? `Offline: ${changes} will be sent later` : "Offline"]
    : pending ? ["saving", `Saving ${changes}`] : ["saved", "Saved"];
  return <span className="badge" data-state={state} role="status">{text}</span>;
}
