import type { LoadProgress } from "./hub_options.js";

const WIDTH = 20;
/** Milliseconds between drawings. */
const PERIOD = 100;

/** Draws downloads on a terminal (stderr), one line a file, as Python's huggingface_hub does. */
export class DownloadBar {
  readonly #stream: { write(text: string): unknown };
  #drawn = 0;

  constructor(stream: { write(text: string): unknown }) {
    this.#stream = stream;
  }

  /** A bar where a terminal shows it, and HF_HUB_DISABLE_PROGRESS_BARS does not forbid it; else null. */
  static forTerminal(): DownloadBar | null {
    const off = /^(1|on|yes|true)$/i.test(process.env.HF_HUB_DISABLE_PROGRESS_BARS ?? "");
    return process.stderr.isTTY && !off ? new DownloadBar(process.stderr) : null;
  }

  report({ status, file, loaded, total, progress }: LoadProgress, now = performance.now()): void {
    if (status !== "progress" || total === 0) return; // files that come from the cache need no line
    const whole = loaded >= total;
    if (!whole && now - this.#drawn < PERIOD) return;
    this.#drawn = now;
    const bar = "█".repeat(Math.round((progress / 100) * WIDTH)).padEnd(WIDTH);
    const text = `${file}: ${String(Math.floor(progress)).padStart(3)}%|${bar}| ${bytes(loaded)}/${bytes(total)}`;
    this.#stream.write(`\r${text}\x1b[K${whole ? "\n" : ""}`);
  }
}

function bytes(count: number): string {
  const unit = count < 1e3 ? 0 : count < 1e6 ? 1 : count < 1e9 ? 2 : 3;
  return unit === 0 ? `${count}B` : `${(count / 1000 ** unit).toFixed(1)}${["", "k", "M", "G"][unit]}B`;
}
