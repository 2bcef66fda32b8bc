"use client";

import { authClient } from "@/lib/auth-client";
import { useRouter } from "next/navigation";
import { useState } from "react";

export default function SignIn() {
  const router = useRouter();
  const [isNew, setNew] = useState(false);
  const [message, setMessage] = useState<string>();

  async function submit(form: FormData) {
    const [name, email, password] = ["name", "email", "password"].map((field) => String(form.get(field)));
    const { error } = isNew
      ? await authClient.signUp.email({ name, email, password })
      : await authClient.signIn.email({ email, password });
    if (error) setMessage(error.message ?? "Better Auth cannot be reached.");
    else router.push("/");
  }

  return (
    <main className="card">
      <h1>{isNew ? "Create an account" : "Sign in"}</h1>
      <form action={submit}>
        {isNew && <label>Name <input name="name" autoComplete="name" required /></label>}
        <label>Email <input name="email" type="email" autoComplete="email" required /></label>
        <label>Password
          <input name="password" type="password" minLength={8} autoComplete={isNew ? "new-password" : "current-password"} required />
        </label>
        {message && <p role="alert">{message}</p>}
        <button className="primary">{isNew ? "Sign up" : "Sign in"}</button>
      </form>
      <button className="quiet" onClick={() => { setNew(!isNew); setMessage(undefined); }}>
        {isNew ? "I have an account" : "I am new here"}
      </button>
    </main>
  );
}
