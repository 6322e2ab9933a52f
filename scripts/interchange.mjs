// `node scripts/interchange.mjs PYTHON`: what this library saves and caches, Python's diffusers, transformers and
// huggingface_hub load with equal tensors, and the other way round. PYTHON is an interpreter that has them, such as that of
//   python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch diffusers transformers safetensors
import { runBundled } from "./run_bundled.mjs";

await runBundled("test/interchange/main_node.ts", "interchange.mjs");
