const starts = (bytes: Uint8Array, ...magic: number[]): boolean => magic.every((byte, i) => bytes[i] === byte);

/**
 * Recognises by its first bytes what people have in hand instead of a safetensors or JSON file.
 *
 * @param bytes the first bytes of the file; 512 are plenty
 * @returns what it is and what to do, to go behind the file's name in an error; null if it is nothing known
 */
export function sniff(bytes: Uint8Array): string | null {
  if (starts(bytes, 0x80) && bytes[1] >= 2 && bytes[1] <= 5 && bytes[1] !== undefined) return PICKLE;
  if (starts(bytes, 0x50, 0x4b, 0x03, 0x04)) return ZIP;
  if (starts(bytes, 0x1f, 0x8b)) return "is gzip data; unpack it first (gunzip)";
  if (starts(bytes, 0x47, 0x47, 0x55, 0x46)) return "is a GGUF file; use the safetensors files of the repository";
  if (starts(bytes, 0x89, 0x48, 0x44, 0x46)) return "is an HDF5 file; use the safetensors files of the repository";
  if (starts(bytes, 0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) return "is a NumPy array; convert it to safetensors";
  const text = String.fromCharCode(...bytes.subarray(0, 512)).trimStart();
  if (text.startsWith("version https://git-lfs")) {
    return "is a Git LFS pointer, not the file itself; run `git lfs pull` in the repository";
  }
  if (/^<(!doctype|html|head|body|\?xml|!--)/i.test(text)) {
    return "is an HTML page, not the file itself; the server answered with a page (wrong address, or a log-in is needed)";
  }
  if (/^\{\s*"(error|message|detail)"/.test(text)) {
    return `is a server's error message, not the file itself: ${text.slice(0, 200).replace(/\s+/g, " ")}`;
  }
  return null;
}

const PICKLE =
  "is a Python pickle (.bin, .ckpt, .pt), which can run code and is never read; use the repository's .safetensors files, " +
  "or convert it in Python: safetensors.torch.save_file(torch.load(file, weights_only=True), new_file)";

const ZIP =
  "is a zip archive: a PyTorch checkpoint (.bin, .ckpt, .pt), whose pickle can run code and is never read, or a packed folder; " +
  "use the repository's .safetensors files, or unpack the folder";
