/** The texts of --help. */

const OVERVIEW = `webgpu-diffusers: Stable Diffusion on WebGPU

Usage: webgpu-diffusers COMMAND [options]

Commands:
  generate PROMPT -o FILE   draw a prompt
  compare PROMPT -o FILE    draw a prompt under several schedulers, as one labelled picture
  tune                      measure which kernels are the fastest on this adapter, and use them from then on
  info                      the WebGPU adapter and what it can do, and the memory that a model takes
  bench                     how fast the adapter runs the kernels, and how close to its limits

  webgpu-diffusers COMMAND --help   the options of a command (help COMMAND does the same)
  webgpu-diffusers --version        the version of this package (-v does the same)

Without --model the small model that comes with the package draws: 64x64 pictures of coloured shapes.

Environment: WEBGPU_DIFFUSERS_ADAPTER=NAME picks an adapter by a part of its name ("swiftshader": the one from npm),
WEBGPU_DIFFUSERS_TUNINGS=off leaves unused what "tune" has kept, or names another folder for it, DEBUG=1 shows errors with their stack.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`;

const DRAWING = `  --model DIR|ID       a Stable Diffusion model in the layout of diffusers: its folder, or its id on the hub, "owner/name"; by
                       default the one of the package
  --negative TEXT      what the picture should not show
  --guidance X         how strictly the prompt is followed; 1 means no guidance (default: 7.5, of XL 5 but with --mask alone, of
                       upscalers 9, of unCLIP 10, the package's model 3)
  --size WxH           width and height in pixels, multiples of 8 (default: what the model was trained for)
  --dtype TYPE         float32 (default) or float16: storage of the weights and activations
  --no-safety-checker  leaves out the model's filter, where it has one, which paints some pictures black: it is not even loaded`;

const HELP = {
  generate: `Usage: webgpu-diffusers generate PROMPT [options] -o FILE

Draws a prompt and writes a PNG file. Without PROMPT, with --image: models that draw pictures like a picture (unCLIP, image variations).

  -o, --output FILE    the PNG file to write; with --count N: FILE-1.png to FILE-N.png
${DRAWING}
  --steps N            denoising steps (default: 50, of latent consistency models 4, of unCLIP 20, of
                       upscalers 75)
  --seed N             seed of the noise, as torch.Generator("cpu").manual_seed(N) (default: a random one, printed)
  --scheduler NAME     a scheduler of diffusers, e.g. DDIMScheduler or DDIM (default: the model's)
  --count N            number of pictures, drawn together, up to 1000 (default: 1)
  --image FILE         a PNG file to begin with instead of noise; the result has its size; with a model of a
                       StableDiffusionUpscalePipeline or a StableDiffusionLatentUpscalePipeline it is 4 or 2 times as large;
                       one of a StableDiffusionDepth2ImgPipeline keeps to its depth; one of a StableUnCLIPImg2ImgPipeline or a
                       StableDiffusionImageVariationPipeline draws pictures like it
  --noise-level N      how much noise the picture gets from the first of these, the more the less the result keeps to it (default: 20); of
                       unCLIP up to 999 (default: 0)
  --mask FILE          a PNG file, white where the picture of --image is drawn anew; --size is then the result's
  --controlnet DIR|ID  a ControlNet that goes with the model: it reads the picture of --image (edges, depth, a pose), and noise is
                       what the drawing begins with; --size is then the result's (default: the picture's)
  --control-image FILE what the ControlNet reads instead: --image, and --mask, are then what the drawing begins with
  --adapter DIR|ID     a T2I-Adapter that goes with the model, instead of a ControlNet: it reads the picture of --control-image, or of
                       --image, and noise is what the drawing begins with; --size is then the result's (default: the picture's)
  --strength X         0 to 1: how much may change; so much of the steps is done (default: 0.8, with --mask 1;
                       of XL 0.3, with --controlnet 0.8, with --mask 0.9999)
  --image-guidance X   of models that edit the picture of --image as PROMPT says (InstructPix2Pix): how near to it the result stays
                       (default: 1.5)
  --lora FILE|DIR|ID   LoRA weights for the model: a .safetensors file, or a folder or id that has pytorch_lora_weights.safetensors
  --lora-scale X       how much they count (default: 1)
  --textual-inversion FILE|DIR|ID
                       an embedding of textual inversion for the model: a .safetensors file, or a folder or id that has
                       learned_embeds.safetensors
  --token TEXT         what stands for it in PROMPT and --negative (default: what the file says)
  --cpu-offload        weights wait in the CPU's memory until their model's turn: less GPU memory, a little more time

Example: webgpu-diffusers generate "a red circle on a white background" --seed 8 -o circle.png
         webgpu-diffusers generate "a red star on a white background" --image circle.png --strength 0.7 -o star.png`,

  compare: `Usage: webgpu-diffusers compare PROMPT [options] -o FILE

Draws a prompt from the same noise under several schedulers and writes one labelled picture.

  -o, --output FILE    the PNG file to write
${DRAWING}
  --schedulers A,B,…   one column each (default: LMSDiscreteScheduler, EulerDiscreteScheduler,
                       EulerAncestralDiscreteScheduler, DPMSolverMultistepScheduler)
  --steps N[,N…]       denoising steps; several numbers make rows (default: 25)
  --seed N             seed of the noise (default: 8)

Example: webgpu-diffusers compare "a blue square on a white background" --steps 5,10,25 -o sheet.png`,

  tune: `Usage: webgpu-diffusers tune [options]

Draws a prompt in one step, then measures the ways of every product, convolution and attention in it, most work first. Each way's
numbers are checked before it is timed. What is faster than the rules' choice is kept in this user's cache and used from then on by
every device of this adapter, at the same sizes. Ctrl-C stops after a measurement; what was found is kept. Run nothing else beside.

  --model DIR|ID       a Stable Diffusion model in the layout of diffusers: its folder, or its id on the hub, "owner/name"; by
                       default the one of the package
  --size WxH           width and height in pixels, multiples of 8 (default: what the model was trained for)
  --dtype TYPE         float32 (default) or float16
  --count N            number of pictures that are drawn together, up to 1000 (default: 1)
  --guidance X         1: without guidance, which halves the batch (default: with it)
  --seconds N          stops after so many seconds
  --forget             removes what was kept for this adapter

Example: webgpu-diffusers tune --model stable-diffusion-v1-5 --dtype float16 --size 512x512`,

  info: `Usage: webgpu-diffusers info [options]

Prints the versions, where the package's model is, and the WebGPU adapter with its features and limits. With any of the options
of a picture also the GPU memory that a model takes and drawing with it; of the model its configs alone are read.

  --model DIR|ID       a model in the layout of diffusers: its folder, or its id on the hub, "owner/name"; by default the one of the
                       package
  --size WxH           width and height in pixels, multiples of 8, of upscalers those of the picture that they are given (default:
                       what the model was trained for)
  --dtype TYPE         float32 (default) or float16
  --count N            number of pictures that are drawn together, up to 1000 (default: 1)
  --guidance X         1: without guidance, which halves the batch (default: with it)
  --cpu-offload        weights wait in the CPU's memory until their model's turn
  --no-safety-checker  without the model's filter of pictures
  --self-test          also whether it computes right: the package's model by the fast kernels against the reference kernels, and a
                       picture against diffusers'; about 20 seconds on CPU adapters. Exit code 1 where anything is wrong

Example: webgpu-diffusers info --model stable-diffusion-v1-5/stable-diffusion-v1-5 --dtype float16 --size 768x768`,

  bench: `Usage: webgpu-diffusers bench [options]
       webgpu-diffusers bench report FILE… -o FILE.html

Measures the adapter's limits, then every op of Stable Diffusion 1.5 (first whether it is right, then its time), then the
package's model. Ctrl-C stops after the op that is being measured. In a clone also: npm run bench -- [options]

  --quick              16 ops that matter most, made smaller on CPU adapters: about two minutes there
  --tune               measures the ways of each matmul, convolution and attention first and takes the fastest, for this run
  --filter TEXT        only ops whose row contains TEXT, e.g. "layer_norm", "conv2d 3x3" or "whole model"
  --dtype TYPE         float32 or float16 only (default: both)
  --real-size FOLDER   also a model of Stable Diffusion 1.5's size with random weights, made there if it is missing (2.1 GB): a
                       guided step and the VAE's decode at 512x512; alone with --filter "real size"
  --json FILE          appends the results to FILE, one JSON object a line
  --html FILE          writes them to FILE as a page with charts
  --where PLACE        node (default), or chrome: headless, on SwiftShader, through the npm package puppeteer
  --serve              only serves a page that runs the same in any browser on this machine (PORT=8080)

report draws results, of one run or several, as a page with charts. Other libraries beside ours: bench/peers in a clone.`,
};

export type Command = keyof typeof HELP;

export const isCommand = (name: string): name is Command => Object.hasOwn(HELP, name);

/** The help of a command, or of the whole. */
export const helpOf = (command?: Command): string => (command ? HELP[command] : OVERVIEW);
