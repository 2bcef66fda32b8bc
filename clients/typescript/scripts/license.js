// Copies the project's licence into the package, so that it stands once in the repository.
import { copyFile } from "node:fs/promises";

await copyFile(new URL("../../../LICENSE", import.meta.url), new URL("../LICENSE", import.meta.url));
