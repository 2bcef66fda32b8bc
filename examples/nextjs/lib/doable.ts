// Doable in the browser, where one user is signed in.
import { createDoable } from "doable-client";
import { betterAuthToken } from "doable-client/better-auth";
import { authClient } from "./auth-client";

export const doable = createDoable({
  url: process.env.NEXT_PUBLIC_DOABLE_URL ?? "http://localhost:8000",
  token: betterAuthToken(authClient),
});
