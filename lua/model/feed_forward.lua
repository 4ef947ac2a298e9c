-- The forms of feed-forward layers and of experts, which are the same: nn.ffn, and what nn.moe
-- makes of its choices.  C width, F width between, E experts, N tokens, K experts a token, R slots.
--
--     gated:  y = W_down (act(W_gate x) * W_up x)         plain:  y = W_down act(W_up x)
--
--  1. One expert has the bits of nn.ffn of its form, and those of its gradients: but for x's of a
--     gated form, which is apart by a rounding (tests/lua/forms.lua).
--  2. Without biases and dropout experts are one operation that holds no gathered tokens
--     (src/moe/experts.c).  With either, or as swiglu_oai, they are made of pieces: gather,
--     products by expert, combine.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"

local forms = {}

-- act of swiglu and moe_experts (SY_ACTIVATION_MAP of src/cpu/kern_row.h); swiglu_oai is none of
-- them.
local NAMES = {"silu", "gelu", "gelu_tanh", "relu", "relu2", "swiglu_oai"}
local ACT = {}
for i, name in ipairs(NAMES) do ACT[name] = i - 1 end
ACT.swiglu_oai = nil

local ACTIVATION = {"activation", "string", "silu", choices = NAMES,
                    help = "of experts and feed-forward layers: silu, gelu, gelu_tanh, relu, "
                      .. "relu2, or swiglu_oai, the clamped one of gpt-oss"}
local GATED = {"gated", "boolean", true,
               help = "act(gate) * up, as SwiGLU; false: act(up), without gate_proj"}

--- The options of models with such layers.  more: of their experts.
forms.rows = {ACTIVATION, GATED}
forms.expert_rows = {
  ACTIVATION, GATED,
  {"expert_bias", "boolean", false, help = "experts' projections have biases"},
  {"expert_dropout", "number", 0, 0, 0.99,
   help = "share of what is between an expert's projections zeroed in training"},
}
local FFN = {
  ACTIVATION, GATED,
  {"bias", "boolean", false, help = "the projections have biases"},
  {"dropout", "number", 0, 0, 0.99,
   help = "share of what is between the projections zeroed in training"},
}

--- Raise if a form is none: {activation=, gated=}; gated = nil: it is not known yet.
function forms.check(what, o)
  if o.activation == "swiglu_oai" and o.gated == false then
    error(what .. ": activation = 'swiglu_oai' is a gated form: it needs gated = true", 0)
  end
end

-- min(g, 7) sigmoid(1.702 min(g, 7)) (clamp(u, -7, 7) + 1).  OpenAI 2025, gpt-oss
local function swiglu_oai(g, u)
  g = g:clamp({hi = 7})
  return g * (g * 1.702):sigmoid() * (u:clamp({lo = -7, hi = 7}) + 1)
end

-- What is between the projections; gate: nil of a plain form.
local function hidden(o, up, gate)
  if o.activation == "swiglu_oai" then return swiglu_oai(gate, up) end
  if not gate then return up[o.activation](up) end
  return (gate:swiglu(up, {act = ACT[o.activation]}))
end

-- W_down's deviation: the residual stream's does not grow with the layers (Radford et al. 2019).
local function down_init() return 0.02 / math.sqrt(2 * nn.description().model.cfg.layers) end

-- A bias is the product of its expert with a one: so its gradient is summed in one order, be there
-- one expert or a dense layer.  Exact: in fp32 whatever the precision.
local function in_fp32(f, ...)
  local before = engine.precision "fp32"
  local y = f(...)
  engine.precision(before)
  return y
end

-- Every row is the bias b (O); x (...,C).
local function bias_rows(x, b)
  local shape = table.move(x.shape, 1, #x.shape - 1, 1, {})
  shape[#shape + 1] = 1
  return in_fp32(nn.linear, tensor.ones(shape), b:view(-1, 1))
end

-- Row r is the bias (O) of the expert in slot r; b (E,O).
local function bias_of_slots(rows, offsets, b)
  local ones = tensor.ones(rows.shape[1], 1)
  return in_fp32(ones.moe_matmul, ones, offsets, b:view(b.shape[1], b.shape[2], 1))
end

--- nn.ffn(x (...,C), width F, {activation="silu", gated=true, bias=, dropout=}): feed-forward
-- layer.  Shazeer 2020
function nn.ffn(x, width, given)
  local o = options.read("ffn", given, FFN)
  forms.check("ffn", o)
  if not nn.description() then
    error("ffn: only inside a model's function (see model.define)", 2)
  end
  local C = x.shape[#x.shape]
  local function project(v, name, rows, columns, init)
    local y = nn.linear(v, nn.param(name .. "_proj.weight", {rows, columns}, init))
    if not o.bias then return y end
    return y + bias_rows(v, nn.param(name .. "_proj.bias", {rows}, "zeros", {role = "bias"}))
  end
  local gate = o.gated and project(x, "gate", width, C) or nil
  local h = hidden(o, project(x, "up", width, C), gate)
  return project(nn.dropout(h, o.dropout), "down", C, width, down_init())
end

-- ---- experts ----

local function weights(s, o, gated)
  local each = {experts = s.E, active = s.K}
  local function matrix(name, rows, columns, init)
    return nn.param("experts." .. name .. "_proj.weight", {s.E, rows, columns}, init, each)
  end
  local w = {up = matrix("up", s.F, s.C), down = matrix("down", s.C, s.F, down_init()),
             gate = gated and matrix("gate", s.F, s.C) or nil}
  if not o.expert_bias then return w end
  each = {experts = s.E, active = s.K, role = "bias"}
  for _, name in ipairs {"up", "down", gated and "gate" or nil} do
    w[name .. "_bias"] = nn.param("experts." .. name .. "_proj.bias",
      {s.E, name == "down" and s.C or s.F}, "zeros", each)
  end
  return w
end

local function in_pieces(x, gates, rows, pos, offsets, w, o)
  local function project(v, name)
    local y = v:moe_matmul(offsets, w[name])
    local b = w[name .. "_bias"]
    return b and y + bias_of_slots(rows, offsets, b) or y
  end
  local xs = x:moe_gather(rows)
  local gate = o.gated and project(xs, "gate") or nil
  local h = nn.dropout(hidden(o, project(xs, "up"), gate), o.expert_dropout)
  return (project(h, "down"):moe_combine(gates, pos))
end

--- x (N,C) through the experts that hold it: gates, rows, pos, offsets as of moe_dispatch.
-- s: {E=, K=, C=, F=}; o: the form.
function forms.experts(x, gates, rows, pos, offsets, s, o)
  local w = weights(s, o, o.gated)
  local dropped = o.expert_dropout > 0 and nn.mode() == "train"
  if o.expert_bias or dropped or not ACT[o.activation] then
    return in_pieces(x, gates, rows, pos, offsets, w, o)
  end
  local act = {act = ACT[o.activation]}
  if not w.gate then return (x:moe_experts(gates, rows, pos, offsets, w.up, w.down, act)) end
  return (x:moe_experts(gates, rows, pos, offsets, w.up, w.down, w.gate, act))
end

return forms
