/**
 * y[t] = table[ids[t]] (+ position[t % tokens]): rows of a table by integer ids. A table larger than the binding limit is
 * bound window by window (`first_row`, `rows`); each dispatch writes the tokens whose row lies in its window.
 */
import { eachElement, overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const embedding: Kernel<{ format: Format } & StreamVariant> = {
  name: "embedding",
  params: { ...STREAM_PARAMS, ...u32s("width", "tokens", "count", "first_row", "rows", "table_rows", "has_position") },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> ids: array<i32>;
${tensor(2, "table", "read", format)}${tensor(3, "position", "read", format)}${tensor(4, "y", "write", format)}
/** A token's row, kept inside the table. */
fn row_of(token: u32) -> u32 { return min(u32(max(ids[min(token, params.count - 1u)], 0)), params.table_rows - 1u); }
fn element(e: u32) -> f32 {
  let token = min(e / params.width, params.count - 1u);
  let row = row_of(token) - params.first_row;
  let v = load_table(row * params.width + e % params.width);
  if (params.has_position == 0u) { return v; }
  return v + load_position((token % params.tokens) * params.width + e % params.width);
}
${overQuads(
  { lanes },
  `
  let id = row_of(4u * i / params.width);
  if (id >= params.first_row && id < params.first_row + params.rows) { store4_y(i, ${eachElement("element")}); }`,
)}`;
  },
};
