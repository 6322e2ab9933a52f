import { expect, test } from "vitest";
import { givenOptions } from "../../src/arguments/spelling.js";

const KNOWN = ["localFilesOnly", "subfolder", "torch_dtype"];

test("known options are found in either spelling, others stay as they are", () => {
  const options = { local_files_only: true, subfolder: "unet", torchDtype: "float16", sample_size: 24, sampleSize: 8 };
  expect(givenOptions(options, KNOWN)).toEqual({
    ...{ localFilesOnly: true, subfolder: "unet", torch_dtype: "float16", sample_size: 24, sampleSize: 8 },
  });
});

test("null is as nothing where the option is known; elsewhere it may say something", () => {
  const options = { local_files_only: null, subfolder: null, safety_checker: null, trained_betas: null };
  expect(givenOptions(options, KNOWN)).toEqual({ safety_checker: null, trained_betas: null });
  // Nor does it undo what the other spelling says.
  expect(givenOptions({ localFilesOnly: true, local_files_only: null }, KNOWN)).toEqual({ localFilesOnly: true });
  expect(givenOptions({ subfolder: undefined, torch_dtype: false, localFilesOnly: 0 }, KNOWN)).toEqual({
    ...{ subfolder: undefined, torch_dtype: false, localFilesOnly: 0 },
  });
});
