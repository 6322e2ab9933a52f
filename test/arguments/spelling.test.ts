import { expect, test } from "vitest";
import { givenOptions, inOwnSpelling } from "../../src/arguments/spelling.js";

const KNOWN = ["localFilesOnly", "subfolder", "torch_dtype"];

test("known options are found in either spelling, others stay as they are", () => {
  const options = { local_files_only: true, subfolder: "unet", torchDtype: "float16", sample_size: 24, sampleSize: 8 };
  const own = {
    localFilesOnly: true,
    subfolder: "unet",
    torch_dtype: "float16",
    sample_size: 24,
    sampleSize: 8,
  };
  expect(inOwnSpelling(options, KNOWN)).toEqual(own);
  expect(givenOptions(options, KNOWN)).toEqual(own);
});

test("a name in both spellings is refused, whichever comes first", () => {
  const message = "got both `localFilesOnly` and `local_files_only`, which are one option; give one of them";
  for (const given of [
    { localFilesOnly: true, local_files_only: true },
    { local_files_only: false, localFilesOnly: true },
  ]) {
    expect(() => inOwnSpelling(given, KNOWN)).toThrow(new TypeError(message));
    expect(() => givenOptions(given, KNOWN, "A")).toThrow(new TypeError(`A: ${message}`));
  }
});

test("null is as nothing where the option is known; elsewhere it may say something", () => {
  const options = { local_files_only: null, subfolder: null, safety_checker: null, trained_betas: null };
  expect(givenOptions(options, KNOWN)).toEqual({ safety_checker: null, trained_betas: null });
  expect(inOwnSpelling(options, KNOWN)).toEqual({
    localFilesOnly: null,
    subfolder: null,
    safety_checker: null,
    trained_betas: null,
  });
});

test("undefined and null do not undo what the other spelling says", () => {
  for (const nothing of [undefined, null])
    for (const given of [
      { localFilesOnly: true, local_files_only: nothing },
      { local_files_only: nothing, localFilesOnly: true },
      { localFilesOnly: nothing, local_files_only: true },
    ])
      for (const read of [inOwnSpelling, givenOptions]) expect(read(given, KNOWN)).toEqual({ localFilesOnly: true });
  expect(givenOptions({ subfolder: undefined, torch_dtype: false, localFilesOnly: 0 }, KNOWN)).toEqual({
    subfolder: undefined,
    torch_dtype: false,
    localFilesOnly: 0,
  });
});
