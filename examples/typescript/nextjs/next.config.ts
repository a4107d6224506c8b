import { dirname } from "node:path";

import type { NextConfig } from "next";

// Turbopack finds the client outside of this folder only with this root.
const config: NextConfig = { turbopack: { root: dirname(import.meta.dirname) } };

export default config;
