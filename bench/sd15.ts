import table from "./sd15-shapes.json" with { type: "json" };
import { distinctRows, type Row, type ShapeTable } from "./shapes.js";

/** The trace of Stable Diffusion 1.5, as in the file. */
export const SD15 = table as unknown as ShapeTable;

/** Its distinct ops. */
export const sd15Rows = (): Row[] => distinctRows(SD15);
