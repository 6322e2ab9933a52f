"""Makes test/fixtures/models/zoo: small UNets of many configs, as diffusers 0.42.1 (torch 2.13.0, CPU) computes them.

    python scripts/make_unet_zoo.py     # needs diffusers, safetensors, numpy; no test runs it

Weights are not stored: both sides make them from their keys (test/support/made_weights.ts).
zoo.json has the configs and arguments, zoo.safetensors.gz the inputs and outputs.
"""

import gzip
import json
import math
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from safetensors.torch import save

from made_weights import made

OUT = Path(__file__).parent.parent / "test/fixtures/models/zoo"
entries = []
tensors = {}


def make(name, cls, config, size=(8, 8), batch=2, t=(10, 10), tokens=7, mask=False, freeu=None):
    written = {"_class_name": cls.__name__, **config}
    model = cls(**config).eval()
    state = {key: made(key, tuple(value.shape)) for key, value in model.state_dict().items()}
    model.load_state_dict(state)
    config = model.config
    g = torch.Generator().manual_seed(len(entries))
    randn = lambda *shape: torch.randn(*shape, generator=g)
    given = {"sample": randn(batch, config.in_channels, *size)}
    if cls is UNet2DConditionModel:
        widths = config.encoder_hid_dim or config.cross_attention_dim
        given["encoder_hidden_states"] = randn(batch, tokens, widths if isinstance(widths, int) else widths[0])
        if mask:
            given["encoder_attention_mask"] = (torch.rand(batch, tokens, generator=g) > 0.4).int()
            given["encoder_attention_mask"][:, 0] = 1
        if config.time_cond_proj_dim:
            given["timestep_cond"] = randn(batch, config.time_cond_proj_dim)
        if config.addition_embed_type == "text_time":
            sizes = torch.randint(0, 1500, (batch, 6), generator=g).float()
            width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            given["added_cond_kwargs"] = {"text_embeds": randn(batch, width), "time_ids": sizes}
        if freeu:
            model.enable_freeu(**freeu)
    if model.class_embedding is not None:
        given["class_labels"] = {
            None: lambda: torch.randint(0, config.num_class_embeds, (batch,), generator=g),
            "timestep": lambda: torch.randint(0, 900, (batch,), generator=g),
            "identity": lambda: randn(batch, model.time_embedding.linear_2.out_features),
        }.get(config.class_embed_type, lambda: randn(batch, config.projection_class_embeddings_input_dim))()
    with torch.no_grad():
        out = model(timestep=torch.tensor(t), **given).sample
    assert torch.isfinite(out).all()
    given.update(given.pop("added_cond_kwargs", {}))
    for key, value in given.items():
        tensors[f"{name}.in.{key}"] = value.contiguous()
    tensors[f"{name}.out"] = out.contiguous()
    keys = fnv("\n".join(sorted(f"{key} {','.join(map(str, value.shape))}" for key, value in state.items())))
    entries.append({"name": name, "timestep": list(t), "freeu": freeu, "keys": keys, "config": written})
    print(name, float(out.std()), sum(v.numel() for v in state.values()))


C=UNet2DConditionModel; D=UNet2DModel
nc=dict(in_channels=3,out_channels=3,norm_num_groups=None,time_embedding_type="fourier",attention_head_dim=None,mid_block_scale_factor=math.sqrt(2),norm_eps=1e-6)
make("ncsnpp",D,dict(nc,block_out_channels=(32,64),down_block_types=("SkipDownBlock2D","AttnSkipDownBlock2D"),up_block_types=("AttnSkipUpBlock2D","SkipUpBlock2D"),layers_per_block=1),t=[0.01,37.5])
make("ncsnpp_heads",D,dict(nc,block_out_channels=(32,32,64),down_block_types=("SkipDownBlock2D","AttnSkipDownBlock2D","SkipDownBlock2D"),up_block_types=("SkipUpBlock2D","AttnSkipUpBlock2D","SkipUpBlock2D"),layers_per_block=2,attention_head_dim=8),size=(16,8),t=[1378.0,2.5])
make("ncsnpp_scale_shift",D,dict(nc,norm_num_groups=8,block_out_channels=(32,64),down_block_types=("AttnSkipDownBlock2D","SkipDownBlock2D"),up_block_types=("SkipUpBlock2D","AttnSkipUpBlock2D"),layers_per_block=1,resnet_time_scale_shift="scale_shift",attn_norm_num_groups=None,act_fn="mish"),t=[0.5,50.])
make("ncsnpp_mixed",D,dict(nc,norm_num_groups=8,block_out_channels=(32,64),down_block_types=("SkipDownBlock2D","DownBlock2D"),up_block_types=("UpBlock2D","SkipUpBlock2D"),layers_per_block=1,mid_block_type=None,time_embedding_type="positional"),t=[5,50])
make("resnet_blocks_identity",D,dict(block_out_channels=(8,16),down_block_types=("ResnetDownsampleBlock2D","AttnDownBlock2D"),up_block_types=("AttnUpBlock2D","ResnetUpsampleBlock2D"),norm_num_groups=4,attention_head_dim=8,class_embed_type="identity",downsample_padding=0,act_fn="gelu",center_input_sample=True,mid_block_scale_factor=1.5,freq_shift=1),t=[5,50])
make("learned_relu",D,dict(block_out_channels=(8,16),down_block_types=("DownBlock2D","AttnDownBlock2D"),up_block_types=("AttnUpBlock2D","UpBlock2D"),norm_num_groups=4,attention_head_dim=3,num_class_embeds=9,time_embedding_type="learned",num_train_timesteps=60,upsample_type="resnet",resnet_time_scale_shift="scale_shift",attn_norm_num_groups=2,act_fn="relu"),t=[5,50])
make("learned_classes",D,dict(block_out_channels=(8,16),down_block_types=("DownBlock2D","AttnDownBlock2D"),up_block_types=("AttnUpBlock2D","UpBlock2D"),norm_num_groups=4,attention_head_dim=3,class_embed_type="timestep",time_embedding_type="learned",num_train_timesteps=1000,downsample_type="resnet"),t=[5,50])
make("old_names",D,dict(block_out_channels=(10,20),down_block_types=("DownBlock2D","UNetResAttnDownBlock2D"),up_block_types=("UNetResAttnUpBlock2D","UNetResUpBlock2D"),norm_num_groups=5,attention_head_dim=3,class_embed_type="timestep",resnet_time_scale_shift="scale_shift"),t=[5,50],size=(6,10))
b=dict(block_out_channels=(8,16),norm_num_groups=4,cross_attention_dim=12,layers_per_block=1,down_block_types=("CrossAttnDownBlock2D","DownBlock2D"),up_block_types=("UpBlock2D","CrossAttnUpBlock2D"),attention_head_dim=2)
make("uneven_heads_mask",C,dict(b,attention_head_dim=3),t=[5,50],mask=True)
make("uneven_heads_linear",C,dict(b,attention_head_dim=3,use_linear_projection=True),t=[5,50],size=(9,7))
make("odd_channels",C,dict(b,block_out_channels=(10,15),norm_num_groups=5,attention_head_dim=2),t=[5,50],mask=True,size=(7,9))
make("freeu",C,dict(b,block_out_channels=(8,16,16),down_block_types=("CrossAttnDownBlock2D","CrossAttnDownBlock2D","DownBlock2D"),up_block_types=("UpBlock2D","CrossAttnUpBlock2D","CrossAttnUpBlock2D")),size=(12,10),freeu=dict(s1=.5,s2=.3,b1=1.3,b2=1.4))
make("freeu_no_mid",C,dict(b,mid_block_type=None),size=(2,6),freeu=dict(s1=1.5,s2=.3,b1=1.3,b2=.4))
make("freeu_low",C,dict(b),size=(4,2),freeu=dict(s1=1.5,s2=.3,b1=1.3,b2=.4))
make("freeu_resnet_blocks",C,dict(b,down_block_types=("CrossAttnDownBlock2D","ResnetDownsampleBlock2D"),up_block_types=("ResnetUpsampleBlock2D","CrossAttnUpBlock2D")),freeu=dict(s1=1.5,s2=.3,b1=1.3,b2=.4))
make("simple_group_norm",C,dict(b,block_out_channels=(16,32),cross_attention_dim=32,down_block_types=("SimpleCrossAttnDownBlock2D","SimpleCrossAttnDownBlock2D"),up_block_types=("SimpleCrossAttnUpBlock2D","SimpleCrossAttnUpBlock2D"),mid_block_type="UNetMidBlock2DSimpleCrossAttn",attention_head_dim=[4,8],cross_attention_norm="group_norm",resnet_skip_time_act=True,resnet_out_scale_factor=1.4,time_embedding_act_fn="mish",mid_block_scale_factor=1.2),t=[5,50],mask=True)
make("simple_only_cross",C,dict(b,block_out_channels=(16,32),cross_attention_dim=20,down_block_types=("SimpleCrossAttnDownBlock2D","ResnetDownsampleBlock2D"),up_block_types=("ResnetUpsampleBlock2D","SimpleCrossAttnUpBlock2D"),mid_block_type="UNetMidBlock2DSimpleCrossAttn",only_cross_attention=True,resnet_time_scale_shift="scale_shift",act_fn="relu",addition_embed_type="text",addition_embed_type_num_heads=5),t=[5,50])
make("simple_mixed",C,dict(b,block_out_channels=(16,32),cross_attention_dim=20,down_block_types=("SimpleCrossAttnDownBlock2D","CrossAttnDownBlock2D"),up_block_types=("CrossAttnUpBlock2D","SimpleCrossAttnUpBlock2D"),mid_block_type="UNetMidBlock2DSimpleCrossAttn",mid_block_only_cross_attention=True,act_fn="gelu",attention_head_dim=4,class_embed_type="projection",projection_class_embeddings_input_dim=9,resnet_skip_time_act=True,time_embedding_act_fn="swish"),t=[5,50])
make("attn_blocks",C,dict(b,down_block_types=("AttnDownBlock2D","CrossAttnDownBlock2D"),up_block_types=("CrossAttnUpBlock2D","AttnUpBlock2D"),attention_head_dim=[4,2],resnet_time_scale_shift="scale_shift",act_fn="mish",mid_block_scale_factor=2.0),t=[5,50])
make("lists",C,dict(b,block_out_channels=(8,16,24),down_block_types=("CrossAttnDownBlock2D","CrossAttnDownBlock2D","DownBlock2D"),up_block_types=("UpBlock2D","CrossAttnUpBlock2D","CrossAttnUpBlock2D"),layers_per_block=[2,1,1],only_cross_attention=[False,True,False],attention_head_dim=[2,4,3],cross_attention_dim=[12,12,12],transformer_layers_per_block=[1,2,1]),t=[5,50],size=(11,13))
make("fourier_concat",C,dict(b,time_embedding_type="fourier",flip_sin_to_cos=False,class_embed_type="timestep",time_embedding_dim=24,class_embeddings_concat=True,timestep_post_act="mish",conv_in_kernel=1,conv_out_kernel=5),t=[0.3,1.7])
make("text_time",C,dict(b,addition_embed_type="text_time",addition_time_embed_dim=7,projection_class_embeddings_input_dim=6*7+5,freq_shift=1,flip_sin_to_cos=False),t=[5,50.5])
make("even_kernel",C,dict(b,conv_in_kernel=4,conv_out_kernel=3,center_input_sample=True,class_embed_type="simple_projection",projection_class_embeddings_input_dim=9,time_cond_proj_dim=6),t=[5,50],size=(9,9))
make("text_proj",C,dict(b,act_fn="SiLU",class_embed_type="timestep",encoder_hid_dim=20),t=[5,50],size=(8,12),tokens=1)
kb=dict(in_channels=4,out_channels=4,norm_num_groups=None,act_fn="gelu",block_out_channels=(32,64,64),down_block_types=("KDownBlock2D","KCrossAttnDownBlock2D","KCrossAttnDownBlock2D"),mid_block_type=None,up_block_types=("KCrossAttnUpBlock2D","KCrossAttnUpBlock2D","KUpBlock2D"),layers_per_block=2,cross_attention_dim=12,attention_head_dim=8,conv_in_kernel=1,conv_out_kernel=1,resnet_time_scale_shift="scale_shift",time_embedding_type="fourier",timestep_post_act="gelu",time_cond_proj_dim=10,time_embedding_dim=64)
make("k_upscaler",C,kb,t=[0.3,1.7],mask=True,size=(8,16))
make("k_deep",C,dict(kb,block_out_channels=(32,32,64,64),time_embedding_dim=64,down_block_types=("KDownBlock2D","KCrossAttnDownBlock2D","KCrossAttnDownBlock2D","KCrossAttnDownBlock2D"),up_block_types=("KCrossAttnUpBlock2D","KCrossAttnUpBlock2D","KCrossAttnUpBlock2D","KUpBlock2D"),layers_per_block=4,cross_attention_dim=12),t=[0.3,1.7],size=(16,16))
make("k_plain",C,dict(kb,down_block_types=("KDownBlock2D","KDownBlock2D","KDownBlock2D"),up_block_types=("KUpBlock2D","KUpBlock2D","KUpBlock2D"),layers_per_block=3),t=[0.3,1.7],size=(8,8))

OUT.mkdir(parents=True, exist_ok=True)
(OUT / "zoo.json").write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n")
(OUT / "zoo.safetensors.gz").write_bytes(gzip.compress(save(tensors), 9, mtime=0))
