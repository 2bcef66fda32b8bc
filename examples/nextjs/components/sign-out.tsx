"use client";

import { authClient } from "@/lib/auth-client";
import { doable } from "@/lib/doable";
import { useSyncStatus } from "doable-client/react";

export function SignOut() {
  const { pending } = useSyncStatus();

  async function signOut() {
    if (pending && !confirm("Some changes have not been sent yet. Sign out and lose them?")) return;
    try {
      await authClient.signOut();
    } finally {
      await doable.signOut(); // erases the copy on this device; each tab then leaves the page
    }
  }

  return <button className="quiet" onClick={signOut}>Sign out</button>;
}
