-- Our models in the words of Hugging Face's transformers: which family a model is there, and what
-- it cannot say.
--
-- A family is exact or it is refused: a folder whose config.json names a family computes the same
-- there.  What is not exact has the model_type "switchyard", which transformers does not know, and
-- the reason beside it.  The reasons name the setting that differs and what the family has in its
-- place.

local capacity = require "switchyard.model.capacity"
local model = require "switchyard.model.model"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"
local json = require "switchyard.core.json"
local hf = {}

local routers = {softmax = true, sigmoid = true}
local builds = {} -- as they are before a script changes them
for _, name in ipairs {"dense", "moe"} do builds[name] = model._family(name).build end

local function is_ours(m) return builds[m.family] ~= nil and m._build == builds[m.family] end

-- ---- what a family cannot say ----

local function differs(list, name, value, family, wanted)
  list[#list + 1] = ("%s = %s, where %s has %s"):format(name, tostring(value), family, wanted)
end

local function disabled(m)
  local off = {}
  for l = 1, m.cfg.layers do
    local mask, n = m.inputs["mask." .. l], 0
    for _, v in ipairs(mask and mask:table() or {}) do n = n + (v ~= 0 and 1 or 0) end
    if n > 0 then off[#off + 1] = ("%d of layer %d"):format(n, l) end
  end
  return table.concat(off, ", ")
end

-- What no family has.
local function foreign(m, list)
  local c = m.cfg
  if not is_ours(m) then
    list[1] = ("model.%s is a model of one's own, where transformers has families of its own")
      :format(m.family)
    return
  end
  local router = m.family == "moe" and routing.name_of(c.router)
  if router and not routers[router] then
    list[#list + 1] = (
      "router = '%s', where qwen3_moe has 'softmax' and glm4_moe 'sigmoid'")
        :format(router)
  end
  if c.capacity then
    list[#list + 1] = (
      "%s leaves tokens out, where the families are dropless (capacity = nil)")
        :format(capacity.text(c.capacity, " = "))
  end
  if c.prefix then
    list[#list + 1] =
      "attention sees a prefix whole, where the families are causal (prefix = false)"
  end
  if c.activation ~= "silu" or not c.gated then
    list[#list + 1] = ("activation = '%s', gated = %s, where the families have SwiGLU ('silu', "
      .. "true)"):format(c.activation, tostring(c.gated))
  end
  if c.expert_bias then
    list[#list + 1] = "expert_bias = true, where the families' experts have no biases"
  end
  local off = disabled(m)
  if off ~= "" then
    list[#list + 1] = ("experts are disabled (%s), where the families use all (expert:enable)")
      :format(off)
  end
end

local function dense_like(qk_norm)
  return function(m, name, list)
    if m.family ~= "dense" then
      return differs(list, "the model", "model." .. m.family, name, "model.dense")
    end
    if m.cfg.qk_norm ~= qk_norm then
      differs(list, "qk_norm", m.cfg.qk_norm, name, tostring(qk_norm))
    end
  end
end

local families = {}

families.llama = {architecture = "LlamaForCausalLM", check = dense_like(false)}
families.qwen3 = {architecture = "Qwen3ForCausalLM", check = dense_like(true)}

families.qwen3_moe = {
  architecture = "Qwen3MoeForCausalLM",
  check = function(m, name, list)
    local c = m.cfg
    if m.family ~= "moe" then
      return differs(list, "the model", "model." .. m.family, name, "model.moe")
    end
    if c.router == "sigmoid" then differs(list, "router", c.router, name, "softmax") end
    if not c.qk_norm then differs(list, "qk_norm", c.qk_norm, name, "true") end
    if c.shared_experts > 0 then differs(list, "shared_experts", c.shared_experts, name, "0") end
  end,
  fields = function(c, f)
    f.num_experts, f.decoder_sparse_step = c.experts, 1
    f.mlp_only_layers = c.dense_layers == 0 and json.empty_list or {}
    for l = 1, c.dense_layers do f.mlp_only_layers[l] = l - 1 end
  end,
}

families.glm4_moe = {
  architecture = "Glm4MoeForCausalLM",
  check = function(m, name, list)
    local c = m.cfg
    if m.family ~= "moe" then
      return differs(list, "the model", "model." .. m.family, name, "model.moe")
    end
    if c.router == "softmax" then differs(list, "router", c.router, name, "sigmoid") end
    if c.shared_experts == 0 then differs(list, "shared_experts", 0, name, "1 or more") end
    -- its groups take the best two
    if c.experts < 2 then differs(list, "experts", c.experts, name, "2 or more") end
  end,
  fields = function(c, f)
    f.n_routed_experts, f.n_shared_experts, f.first_k_dense_replace = c.experts, c.shared_experts,
      c.dense_layers
    f.routed_scaling_factor, f.n_group, f.topk_group = c.scale + 0.0, 1, 1
    f.use_qk_norm, f.num_nextn_predict_layers = c.qk_norm, 0
    f.partial_rotary_factor, f.rope_parameters.partial_rotary_factor = 1.0, 1.0
  end,
}

local names = {}
for name in pairs(families) do names[#names + 1] = name end
table.sort(names)

--- Why a family cannot say the model: a text of one line, or nil.
function hf.why_not(m, name)
  local list = {}
  foreign(m, list)
  if is_ours(m) then families[name].check(m, name, list) end
  if m._rules then list[#list + 1] = "tokens are forced to experts, or kept from them" end
  return #list > 0 and table.concat(list, "; ") or nil
end

--- The family that is meant for a model, or nil for one of one's own.
function hf.family(m)
  if not is_ours(m) then return nil end
  if m.family == "dense" then return m.cfg.qk_norm and "qwen3" or "llama" end
  return m.cfg.router == "sigmoid" and "glm4_moe" or "qwen3_moe"
end

--- The name if there is such a family; raises otherwise.
function hf.check_name(what, name)
  if not families[name] then options.unknown(what, "family", name, names) end
  return name
end

-- ---- config.json ----

-- Of a coefficient that goes by the steps, what it comes to.
local function height(v) return type(v) == "table" and v.value or v end

local function shared_fields(m)
  local c, theta, tok = m.cfg, m.cfg.theta + 0.0, m.tokenizer or {}
  return {
    hidden_size = c.dim, num_hidden_layers = c.layers, num_attention_heads = c.heads,
    num_key_value_heads = c.kv_heads or c.heads, head_dim = c.head_dim or c.dim // c.heads,
    max_position_embeddings = c.context, vocab_size = c.vocab, tie_word_embeddings = c.tie,
    rms_norm_eps = 1e-5, rope_theta = theta, rope_parameters = {rope_type = "default",
      rope_theta = theta},
    hidden_act = "silu", attention_bias = false, attention_dropout = 0.0, initializer_range = 0.02,
    torch_dtype = "float32", use_cache = true, bos_token_id = tok.bos, eos_token_id = tok.eot,
    intermediate_size = c.ffn_dim,
  }
end

local function moe_fields(c, f)
  f.moe_intermediate_size, f.num_experts_per_tok = c.expert_dim, c.top_k
  f.intermediate_size = c.ffn_dim or c.expert_dim * c.top_k
  f.norm_topk_prob = c.normalize and c.top_k > 1
  f.router_aux_loss_coef, f.router_z_loss_coef = height(c.balance.aux), height(c.balance.z)
end

--- config.json's fields for a model, and why transformers cannot load it (nil: it can).  name: the
-- family, or nil for the one that is meant.
function hf.fields(m, name)
  name = name or hf.family(m)
  if not name then
    return {model_type = "switchyard", vocab_size = m.cfg.vocab}, hf.why_not(m, "llama")
  end
  local why, f = hf.why_not(m, name), shared_fields(m)
  if m.family == "moe" then moe_fields(m.cfg, f) end
  if m.family == "moe" and families[name].fields then families[name].fields(m.cfg, f) end
  f.model_type, f.architectures = name, {families[name].architecture}
  if why then f.model_type, f.architectures = "switchyard", nil end
  return f, why
end

-- ---- tokenizer_config.json ----

local function token(tok, id)
  return id and tok:token(id) or nil
end

--- What AutoTokenizer needs to make of tokenizer.json what the tokenizers library does.
function hf.tokenizer_config(m)
  local tok = m.tokenizer
  return {
    tokenizer_class = "PreTrainedTokenizerFast", model_max_length = m.cfg.context,
    clean_up_tokenization_spaces = false, bos_token = token(tok, tok.bos),
    eos_token = token(tok, tok.eot),
  }
end

return hf
