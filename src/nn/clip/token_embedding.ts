/** CLIP's table of tokens, whose rows may be others than the file's: those that textual inversion adds (Gal et al. 2022, arXiv:2208.01618). */
import { shown } from "../../arguments/shown.js";
import { float32ToFloat16 } from "../../tensor/dtype.js";
import { Tensor } from "../../tensor/tensor.js";
import { Embedding } from "../layers.js";
import { Parameter } from "../module.js";

/** The number of a row that there is, or the numbers of a new one. */
export type TableRow = number | Float32Array;

export class TokenEmbedding extends Embedding {
  readonly #inFile = this.weight;
  /** Of the table in the file; null where it is as there. */
  #rows: readonly TableRow[] | null = null;

  /**
   * @param rows of the table as it is now, or new ones
   * @throws RangeError for a row that is none; what the device says of too little memory. The table is as before then
   */
  async setRows(rows: readonly TableRow[]): Promise<void> {
    const [count, width] = this.weight.shape;
    const wrong = rows.find((row) => (typeof row === "number" ? !(row >= 0 && row < count) : row.length !== width));
    if (wrong !== undefined)
      throw new RangeError(
        `TokenEmbedding: rows are numbers below ${count}, or have ${width} numbers, got ${shown(wrong)}`,
      );
    const now = this.#rows;
    this.#place(
      await gathered(this.weight.value, rows),
      rows.map((row) => (typeof row === "number" && now ? now[row] : row)),
    );
  }

  /** Takes the shape of the file, to be read again. */
  asInFile(): void {
    if (this.weight !== this.#inFile) this.weight.dispose();
    this.weight = this.#inFile;
  }

  /** Has its own rows again, when the file's were read. */
  async restore(): Promise<void> {
    if (this.#rows) this.#place(await gathered(this.weight.value, this.#rows), this.#rows);
  }

  #place(table: Tensor, rows: readonly TableRow[]): void {
    const before = this.weight;
    const isAsInFile = rows.length === this.#inFile.shape[0] && rows.every((row, i) => row === i);
    this.#rows = isAsInFile ? null : rows;
    this.weight = isAsInFile ? this.#inFile : new Parameter(table.shape);
    this.weight.assign(table);
    if (before !== this.weight) before.dispose();
  }
}

/** A table of some rows of another one, and of new ones. */
async function gathered(from: Tensor, rows: readonly TableRow[]): Promise<Tensor> {
  const { device, dtype, itemSize } = from;
  const [, width] = from.shape;
  const bytes = width * itemSize;
  if (bytes % 4 !== 0) throw new RangeError(`TokenEmbedding: rows of ${width} numbers in ${dtype} cannot be copied`);
  const { now } = device.queue.faults;
  const options = { persistent: true, label: "token_embedding.weight" };
  const table = device.keep(Tensor.empty(device, [rows.length, width], dtype, options));
  try {
    for (let at = 0; at < rows.length;) {
      const row = rows[at];
      let count = 1;
      if (typeof row === "number") {
        while (rows[at + count] === row + count) count++;
        device.copyBytes(from.block, row * bytes, table.block, at * bytes, count * bytes);
      } else {
        const data = dtype === "float16" ? float32ToFloat16(row) : row;
        device.queue.push({ kind: "write", block: table.block, offset: at * bytes, data });
      }
      at += count;
    }
    await device.synchronize();
    device.queue.check(now);
    return table;
  } catch (error) {
    table.dispose();
    throw error;
  }
}
