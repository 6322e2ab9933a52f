/**
 * The products of winograd.ts: y[place, tile, o] = Σ_c x[place, tile, c] · w[place, c, o], sums in f32, one place per workgroup z. Tiled only.
 */
import { straight, weightRows, type Product } from "./product.js";
import { tiledEntry } from "./tile.js";
import { enableTile, loadOf, type TileVariant } from "./tile_parts.js";
import { operandAccess, paramsStruct, tensor, u32s, type Format, type Kernel, type Textures } from "./wgsl.js";

export interface WinogradProductsVariant extends TileVariant {
  /** Of x and w. */
  format: Format;
  fma: boolean;
  textures: Textures;
}

const productOf = ({ by, ...tile }: WinogradProductsVariant): Product => ({
  rows: "params.m",
  setup: (name, row) => `  let x${name} = ((params.place + slot) * params.m + ${row}) * (params.k >> 2u);`,
  ...straight({
    before: "",
    from: "0u",
    to: "(params.k >> 2u)",
    each: `let base = ${weightRows({ by, ...tile }).base("(params.place_w + slot) * params.k + k * 4u", "params.places_w * params.k")};`,
  }),
  load: (name, k) => `${loadOf({ by })}_x(x${name} + ${k})`,
  loadColumns: weightRows({ by, ...tile }).load(`${loadOf({ by })}_w`),
  at: (row, column) => `((params.place + slot) * params.m + ${row}) * n4 + ${column}`,
  epilogue: () => "",
  store: (at, sum) => `store4_y(${at}, ${sum});`,
});

/** The dispatch's first place is `place` in x and y, and `place_w` of the `places_w` that w has. */
export const winogradProducts: Kernel<WinogradProductsVariant> = {
  name: "winograd products",
  params: u32s("m", "n", "k", "place", "place_w", "places_w", "row_start", "row_end"),
  bindings: ({ textures }) => [...operandAccess(textures), "write"],
  source(variant) {
    const { format, by, textures } = variant;
    const [left, right] = operandAccess(textures);
    return (
      enableTile(format, { by }) +
      paramsStruct(this.params) +
      tensor(1, "x", left, format) +
      tensor(2, "w", right, format) +
      tensor(3, "y", "write", "f32") +
      tiledEntry(variant, "(params.n >> 2u)", productOf(variant))
    );
  },
};
