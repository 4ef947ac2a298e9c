-- model.encdec: an encoder and a decoder of pre-norm blocks, as T5 has them, with mixtures of
-- experts where moe_every or moe_layers says: Switch Transformer, GShard.  The encoder reads
-- batch.inputs (B,S), the decoder writes batch.targets (B,T) after what it reads as tokens.
--
--  1. Tokens of one row see only those of their own document, on both sides: so padding (-1) and
--     several examples in a row need nothing else.
--  2. Layers count through both stacks, the encoder's first.
--
-- Raffel et al. 2020 (version 1.0); Shazeer 2020 and t5.1.1 (version 1.1); Fedus et al. 2022;
-- Lepikhin et al. 2021.

local config = require "switchyard.model.config"
local engine = require "switchyard.engine"
local forms = require "switchyard.model.feed_forward"
local lazy = require "switchyard.core.lazy"
local live = require "switchyard.model.live"
local nn = require "switchyard.model.nn"
local model = require "switchyard.model.model"
local options = require "switchyard.core.options"
local routing = lazy "switchyard.model.routing"

local EPS = 1e-6 -- of T5's RMSNorm

-- ---- what is not given ----

local VERSIONS = {["1.0"] = {activation = "relu", gated = false, tie = true},
                  ["1.1"] = {activation = "gelu_tanh", gated = true, tie = false}}

-- Layers with a mixture, by their number through both stacks.
local function mixtures_of(cfg)
  local all, where = cfg.layers + cfg.decoder_layers, {}
  for _, l in ipairs(cfg.moe_layers or {}) do
    if math.type(l) ~= "integer" or l < 1 or l > all then
      error(("model.encdec: moe_layers: layer %s; they are numbered 1 to %d, the encoder's first")
        :format(tostring(l), all), 0)
    end
    where[l] = true
  end
  if cfg.moe_layers or not cfg.experts then return where end
  for l = 1, all do
    local at = l <= cfg.layers and l or l - cfg.layers
    local first = cfg.moe_first or cfg.moe_every
    where[l] = at >= first and (at - first) % cfg.moe_every == 0 or nil
  end
  return where
end

-- Experts that no layer has would be silence.
local function check_mixtures(cfg, where)
  if not cfg.experts or next(where) then return end
  error(("model.encdec: experts is %d, and no layer has a mixture: there are %d and %d layers, %s")
    :format(cfg.experts, cfg.layers, cfg.decoder_layers, cfg.moe_layers and "moe_layers names none"
    or ("moe_every is %d%s"):format(cfg.moe_every, cfg.moe_first and
    ", moe_first " .. cfg.moe_first or "")), 0)
end

local function complete(cfg)
  local form = VERSIONS[cfg.version]
  for _, name in ipairs {"activation", "gated", "tie"} do
    if cfg[name] == nil then cfg[name] = form[name] end
  end
  forms.check("model.encdec", cfg)
  cfg.decoder_layers = cfg.decoder_layers or cfg.layers
  cfg.context = cfg.context or select(3, engine.span_lengths(cfg.input_context, 0.15, 3))
  cfg.ffn_dim = cfg.ffn_dim or 4 * cfg.dim
  cfg.expert_dim = cfg.experts and (cfg.expert_dim or cfg.ffn_dim) or nil
  cfg.expert_dropout = cfg.experts and (cfg.expert_dropout or cfg.dropout) or nil
end

-- ---- what parameters begin with ----

-- {form, s}: a deviation of sqrt(s / fan in).  T5 has no 1/sqrt(D) in attention: q is smaller for
-- it.  The embedding's deviation is sqrt(s).  What asks for a form of its own has it: routers.
local DEVIATION = {normal = 1, truncated = 1 / 0.87962566, uniform = math.sqrt(3)}

local function initializer(cfg)
  local form, s = cfg.init[1], cfg.init[2]
  if not DEVIATION[form] or type(s) ~= "number" or not (s > 0 and s < 1e6) then
    error("model.encdec: init must be {\"normal\", s}, {\"truncated\", s} or {\"uniform\", s}: the "
      .. "deviation is sqrt(s / inputs)", 0)
  end
  local head = cfg.attention_scale and 1 or cfg.head_dim or cfg.dim // cfg.heads
  return function(name, shape, init)
    if init and type(init) ~= "number" then return init end
    local inputs = shape[#shape]
    if name:find "shared%.weight$" then inputs = 1
    elseif name:find "relative_attention_bias" then inputs = cfg.dim
    elseif name:find "q_proj%.weight$" then inputs = inputs * head end
    return {form, DEVIATION[form] * math.sqrt(s / inputs)}
  end
end

-- ---- the stacks ----

local function norm(name, x)
  return nn.rmsnorm(x, nn.param(name .. ".weight", {x.shape[#x.shape]}, "ones"), EPS)
end

-- Attention, in a decoder attention to the memory, then a feed-forward layer or a mixture.
local function block(x, cfg, feed_forward, attention, memory)
  local function add(y) x = x + nn.dropout(y, cfg.dropout) end
  add(nn.scope("self_attn", nn.attention, norm("input_layernorm", x), attention))
  if memory then
    add(nn.scope("cross_attn", nn.attention, norm("cross_attention_layernorm", x), memory))
  end
  add(nn.scope("mlp", feed_forward, norm("post_attention_layernorm", x)))
  return x
end

-- Layers first+1 .. first+n.  side: options of its attention that are not the decoder's.
local function stack(cfg, name, first, n, x, feed_forward, side, memory)
  local attention = {heads = cfg.heads, kv_heads = cfg.kv_heads, head_dim = cfg.head_dim,
                     theta = cfg.theta, dropout = cfg.dropout, scale = cfg.attention_scale or 1,
                     rope = cfg.position == "rope"}
  for key, v in pairs(side) do attention[key] = v end
  if cfg.position == "relative" then
    attention.bias = nn.scope(name, nn.relative_bias, x, {heads = cfg.heads,
      buckets = cfg.buckets, distance = cfg.distance, both = attention.mask == "full"})
  elseif cfg.position == "sinusoidal" then
    x = x + nn.sinusoids(x, nil, side.documents)
  end
  nn.padding(side.documents or nil)
  x = nn.dropout(x, cfg.dropout)
  for i = 1, n do
    local l = first + i
    x = nn.layer(l, block, {stack = name}, x, cfg, function(h) return feed_forward(h, l) end,
      attention, memory)
  end
  return nn.dropout(nn.scope(name, norm, "norm", x), cfg.dropout)
end

-- Options of nn.moe; balance: names of the coefficients that are the router's, or nil: all.
local function mixture(cfg, router, normalize, balance)
  local o = {experts = cfg.experts, expert_dim = cfg.expert_dim, router = router,
             shared_experts = cfg.shared_experts, normalize = normalize}
  for _, row in ipairs(forms.expert_rows) do o[row[1]] = cfg[row[1]] end
  for name, value in pairs(cfg.experts and cfg.balance or {}) do
    if not balance or balance[name] then o[name] = value end
  end
  return o
end

local function default_text(row)
  local v = row[3]
  if row.of_mean then return options.number(row.of_mean) .. "/layers" end
  return v == nil and "none" or type(v) == "number" and options.number(v) or tostring(v)
end

-- "aux = 0.01, z = 0.001" of rows by name, a router's own defaults.
local function own_defaults(rows, names)
  local list = {}
  for i, name in ipairs(names) do list[i] = name .. " = " .. default_text(rows[name]) end
  return table.concat(list, ", ")
end

local function balance_rows(router)
  local rows = {}
  for _, row in ipairs(routing.balance_rows(router)) do rows[row[1]] = row end
  return rows
end

-- A coefficient has one value in both stacks: where the routers' own defaults are two, and none was
-- given (asked), that of one of them would not hold, in silence.
local function check_defaults(cfg, asked, encoders)
  local decoders, names = routing.find("model.encdec", cfg.router), {}
  local its, other = balance_rows(decoders), balance_rows(encoders)
  for name, mine in pairs(its) do
    local row, holds = other[name], cfg.balance[name] ~= nil or mine.of_mean
    local same = row and row[3] == mine[3] and row.of_mean == mine.of_mean
    if row and holds and asked[name] == nil and not same then names[#names + 1] = name end
  end
  if #names == 0 then return end
  table.sort(names)
  error(("model.encdec: balance: router '%s' has %s, encoder_router '%s' %s: a coefficient has "
    .. "one value in both stacks, which balance = {%s = ...} says"):format(decoders.name,
    own_defaults(its, names), encoders.name, own_defaults(other, names), names[1]), 0)
end

-- The same of the encoder, and whether r.capacity is not its capacity; where it has none of its own
-- they are the decoder's.
local function mixture_of_encoder(cfg, where, asked)
  local router, capacity, has = cfg.encoder_router, cfg.encoder_capacity, false
  local o = mixture(cfg, cfg.router, cfg.normalize)
  if router == nil and capacity == nil then return o, false end
  for l = 1, cfg.layers do has = has or where[l] end
  if not has then
    error(("model.encdec: %s has no effect: no layer of the encoder has a mixture"):format(
      router == nil and "encoder_capacity" or "encoder_router"), 0)
  end
  if router ~= nil then
    local found
    cfg.encoder_router, found = config.router("model.encdec: encoder_router", router,
      {experts = cfg.experts, top_k = cfg.top_k, capacity = capacity})
    if asked then check_defaults(cfg, asked, found) end
    o = mixture(cfg, cfg.encoder_router, nil, balance_rows(found))
  end
  o.capacity = capacity
  return o, true
end

local function feed_forward_of(cfg, asked)
  local where = mixtures_of(cfg)
  check_mixtures(cfg, where)
  local of_encoder, own_capacity = mixture_of_encoder(cfg, where, asked)
  local of_decoder = mixture(cfg, cfg.router, cfg.normalize)
  local dense = {activation = cfg.activation, gated = cfg.gated, dropout = cfg.dropout}
  return function(h, l)
    if not where[l] then return nn.ffn(h, cfg.ffn_dim, dense) end
    -- they may change while a run is live; nil would be the router's own
    local o = l <= cfg.layers and of_encoder or of_decoder
    o.top_k = cfg.top_k
    if o == of_decoder or not own_capacity then o.capacity = cfg.capacity or false end
    return nn.moe(h, o)
  end
end

model.define("encdec", function(cfg, asked)
  complete(cfg)
  local feed_forward, initial = feed_forward_of(cfg, asked), initializer(cfg)
  return function(tokens, batch)
    nn.initializer(initial)
    local embed = nn.param("shared.weight", {cfg.vocab, cfg.dim})
    local memory = nn.memory(function()
      return stack(cfg, "encoder", 0, cfg.layers, nn.embedding(batch.inputs, embed), feed_forward,
        {mask = "full", documents = batch.input_documents})
    end)
    local documents = batch.documents
    local x = stack(cfg, "decoder", cfg.layers, cfg.decoder_layers, nn.embedding(tokens, embed),
      feed_forward, {documents = documents}, {
        heads = cfg.heads, kv_heads = cfg.kv_heads, head_dim = cfg.head_dim,
        scale = cfg.attention_scale or 1, dropout = cfg.dropout, memory = memory,
        documents = documents, memory_documents = batch.input_documents})
    if not cfg.tie then return nn.head(x, nn.param("lm_head.weight", {cfg.vocab, cfg.dim})) end
    return nn.head(x * cfg.dim ^ -0.5, embed)
  end
end, (function()
  local of_experts = {
    {"experts", "integer", nil, 1, 4096, help = "experts of a mixture (E); default: none, all "
      .. "layers are dense"},
    live.row("top_k", 1),
    {"expert_dim", "integer", nil, 1, 1 << 22, help = "width of an expert (F); default: ffn_dim"},
    {"shared_experts", "integer", 0, 0, 64, help = "experts that every token uses"},
    {"moe_every", "integer", 2, 1, 1024, without = "moe_layers",
     help = "of each stack's layers so many have one mixture"},
    {"moe_first", "integer", nil, 1, 1024, without = "moe_layers",
     help = "a stack's first layer with a mixture; default: moe_every. 1 is the first of each "
       .. "pair, as GShard has it"},
    {"moe_layers", "table", nil, help = "instead of both: numbers of the layers with a mixture, "
      .. "from 1 through both stacks, the encoder's first"},
    {"router", "any", "softmax", help = "a name that routers() lists, or {name, option = value}"},
    {"balance", "table", {}, help = "coefficients of the balance rules that go with the router: "
      .. "aux=, z=, gamma="},
    live.row "capacity",
    {"encoder_router", "any", nil, help = "the router of the encoder's mixtures, where it is "
      .. "another; expert_choice, say, which a decoder cannot have. Of balance= it has what is "
      .. "among its coefficients; where both routers have one of other defaults, balance= has to "
      .. "say it"},
    {"encoder_capacity", "any", nil, help = "likewise their capacity, which r.capacity then leaves "
      .. "as it is; false: none. Default: that of router, or the encoder_router's own"},
    {"normalize", "boolean", nil, help = "of routers that have it; default: the router's"},
    {"expert_bias", "boolean", false, help = "experts' projections have biases"},
    {"expert_dropout", "number", nil, 0, 0.99, help = "share of what is between an expert's "
      .. "projections zeroed in training; default: dropout (Switch: 0.4 in fine-tuning)"},
  }
  local rows = {
    {"layers", "integer", 4, 1, 1024, help = "blocks of the encoder"},
    {"decoder_layers", "integer", nil, 1, 1024, help = "blocks of the decoder; default: layers"},
    {"dim", "integer", 128, 1, 1 << 20, help = "model width (C)"},
    {"heads", "integer", 4, 1, 1 << 16, help = "query heads (H)"},
    {"kv_heads", "integer", nil, 1, 1 << 16, help = "key-value heads; default: heads"},
    {"head_dim", "integer", nil, 1, 1 << 16, help = "width of a head (D); default: dim / heads"},
    {"ffn_dim", "integer", nil, 1, 1 << 22, help = "width of dense layers (F); default: 4 dim"},
    {"input_context", "integer", 256, 2, 1 << 24, help = "tokens that the encoder reads (S)"},
    {"context", "integer", nil, 1, 1 << 24, help = "tokens that the decoder writes (T); default: "
      .. "those of T5's spans of input_context tokens (512: 114)"},
    {"vocab", "vocab", 256, help = "a tokenizer, or the number of ids (V)"},
    {"version", "string", "1.1", choices = {"1.0", "1.1"}, help = "T5's: 1.0 is relu and tied, "
      .. "1.1 is gated gelu and untied; activation=, gated=, tie= override it"},
    {"activation", "string", nil, choices = forms.rows[1].choices, help = "of layers and experts; "
      .. "default: the version's"},
    {"gated", "boolean", nil, help = "act(gate) * up; default: the version's"},
    {"tie", "boolean", nil, help = "the head shares the embedding's weights, and what it is given "
      .. "is scaled by dim^-0.5; default: the version's"},
    {"position", "string", "relative", choices = {"relative", "rope", "sinusoidal"},
     help = "relative: T5's bias by distance, one table a stack; rope; sinusoidal: added to the "
       .. "embeddings"},
    {"buckets", "integer", 32, 4, 1 << 16, only = {"position", "relative"},
     help = "of relative positions"},
    {"distance", "integer", 128, 2, 1 << 24, only = {"position", "relative"},
     help = "from which on relative positions are one bucket"},
    {"theta", "number", 10000, 1, 1e12, only = {"position", "rope"}, help = "base of RoPE"},
    {"attention_scale", "number", nil, 1e-6, 1e6, help = "of scores; default: 1, the "
      .. "1/sqrt(D) being in q's initial values"},
    {"dropout", "number", 0, 0, 0.99, help = "share zeroed in training of embeddings, weights of "
      .. "attention, what is between projections, each block's output and the last norm's (T5: "
      .. "0.1; 1.1 pre-trains with 0)"},
    {"init", "table", {"normal", 1}, help = "{form, s}: normal, truncated or uniform with the "
      .. "deviation sqrt(s / inputs); Switch: {\"truncated\", 0.1}, GShard: {\"uniform\", 1}"},
    {"seed", "integer", 1, 0, 1 << 53, help = "of the initial parameters"},
  }
  for _, row in ipairs(of_experts) do
    if row[1] ~= "experts" then row.needs = "experts" end
    rows[#rows + 1] = row
  end
  return rows
end)())
