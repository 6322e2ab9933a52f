/** A pipeline made of the components of another one, diffusers' from_pipe. */
import { plainOptions } from "../../arguments/options.js";
import { shown } from "../../arguments/shown.js";
import { PretrainedModel } from "../../nn/weights/pretrained.js";
import type { DiffusionPipeline } from "../diffusion_pipeline.js";
import { typeName } from "./given_components.js";
import type { Components, PipelineClass } from "./load_pipeline.js";

/** @throws TypeError for what is no pipeline */
export function expectPipeline(caller: string, source: unknown): asserts source is DiffusionPipeline {
  if (typeof source !== "function" || typeof (source as unknown as DiffusionPipeline).remember !== "function")
    throw new TypeError(`${caller}: takes a pipeline, got ${shown(source)}`);
}

/**
 * Unlike Python's, which casts both to float32, this leaves the models as they are. See DiffusionPipeline.fromPipe.
 * @param anyClass whether models go over that are of another class than expected
 */
export function fromPipe<C extends PipelineClass>(
  Class: C,
  source: DiffusionPipeline,
  given: Components | null | undefined,
  { anyClass = false } = {},
): InstanceType<C> {
  const { className, componentNames, componentClasses, initArguments } = Class;
  if (componentNames.length === 0)
    throw new TypeError(`${className}.fromPipe: call it on the class that is wanted, such as StableDiffusionPipeline`);
  expectPipeline(`${className}.fromPipe`, source);
  const names = [...componentNames, ...Object.keys(initArguments)];
  const options = plainOptions(given, names, `${className}.fromPipe`);
  const strange = Object.keys(options).filter((name) => !names.includes(name));
  if (strange.length > 0)
    throw new TypeError(`${className}.fromPipe: takes ${names.join(", ")}, got ${strange.join(", ")}`);
  const components = Object.entries(source.components).filter(([name, component]) => {
    const expected = anyClass ? undefined : componentClasses[name];
    const fits = !expected || !(component instanceof PretrainedModel) || component instanceof (expected as never);
    if (!fits && !(name in options))
      console.warn(
        `component ${name} is not switched over to new pipeline because type does not match the expected. ${name} is ` +
          `${typeName(component)} while the new pipeline expect ${expected.className}. please pass the component of ` +
          `the correct type to the new pipeline. \`fromPipe(..., { ${name} })\``,
      );
    return fits && componentNames.includes(name);
  });
  const { _class_name, _diffusers_version, ...config } = source.config;
  const settings = Object.entries(config)
    .filter(([name]) => !(name in source.components))
    .map(([name, value]) => [name.replace(/^_/, ""), value] as const);
  const taken = settings.filter(([name]) => name in initArguments);
  const pipeline = new Class({ ...Object.fromEntries([...components, ...taken]), ...options } as never);
  // As in Python, what this class does not take is kept for one that does, under a name that no class has.
  const others = settings.filter(([name]) => !(name in initArguments)).map(([name, value]) => [`_${name}`, value]);
  pipeline.remember(Object.fromEntries(others) as Components);
  pipeline.placeAs(source);
  return pipeline as InstanceType<C>;
}
