-- Models on disk: a folder of model.safetensors, config.json and tokenizer.json.
--
-- Tensors have the names of Hugging Face: a parameter that stacks experts, (E, ...) and named
-- "....experts.gate_proj.weight", is saved one tensor an expert, "....experts.0.gate_proj.weight".
-- config.json holds what Hugging Face's loaders read and, under "switchyard", what makes the model again:
--   {"format": 1, "family": "moe", "config": {...}, "inputs": {"mask.1": [0.0, "-inf"]}, "single_gate": "score"}
-- (single_gate: what the sigmoid router makes of the gate of a lone expert; where it is missing, it was 1.)
-- The folder is written beside its place and then takes it: the old model or the new one, never half.

local engine = require "switchyard.engine"
local json = require "switchyard.json"
local file = {}
local empty_list = json.empty_list

local FORMAT = 1

-- ---- names ----

-- Every tensor of the file: a list of {name, tensor}; tensors of experts are views.
local function entries(m)
  local list = {}
  for i, p in ipairs(m.params) do
    local name, experts = m._info[i].name, m._info[i].experts
    local before, after = name:match "^(.*experts%.)([^.]+.*)$"
    if experts > 0 and before then
      for e = 1, experts do list[#list + 1] = {before .. e - 1 .. "." .. after, p[e]} end
    else
      list[#list + 1] = {name, p}
    end
  end
  for _, name in ipairs(m._state_names) do list[#list + 1] = {name, m.states[name]} end
  return list
end

-- ---- config.json ----

-- What every decoder of our two families has in Hugging Face's words.
local function shared_fields(m)
  local c, theta = m.cfg, m.cfg.theta + 0.0
  return {
    hidden_size = c.dim, num_hidden_layers = c.layers, num_attention_heads = c.heads,
    num_key_value_heads = c.kv_heads or c.heads, head_dim = c.head_dim or c.dim // c.heads,
    max_position_embeddings = c.context, vocab_size = c.vocab, tie_word_embeddings = c.tie,
    rms_norm_eps = 1e-5, rope_theta = theta, rope_parameters = {rope_type = "default", rope_theta = theta},
    hidden_act = "silu", attention_bias = false, attention_dropout = 0.0, initializer_range = 0.02,
    torch_dtype = "float32", use_cache = true, bos_token_id = m.tokenizer.bos, eos_token_id = m.tokenizer.eot,
  }
end

local function dense_fields(m, f)
  f.intermediate_size = m.cfg.ffn_dim
  f.model_type = m.cfg.qk_norm and "qwen3" or "llama"
  f.architectures = {m.cfg.qk_norm and "Qwen3ForCausalLM" or "LlamaForCausalLM"}
end

local function moe_fields(m, f)
  local c = m.cfg
  f.moe_intermediate_size, f.num_experts_per_tok = c.expert_dim, c.top_k
  f.intermediate_size = c.ffn_dim or c.expert_dim * c.top_k
  f.router_aux_loss_coef, f.router_z_loss_coef = c.balance.aux, c.balance.z
  if c.router == "sigmoid" then
    f.model_type, f.architectures = "glm4_moe", {"Glm4MoeForCausalLM"}
    f.n_routed_experts, f.n_shared_experts, f.first_k_dense_replace = c.experts, c.shared_experts, c.dense_layers
    f.norm_topk_prob, f.routed_scaling_factor, f.n_group, f.topk_group = c.normalize and c.top_k > 1, c.scale + 0.0, 1, 1
    f.use_qk_norm, f.num_nextn_predict_layers = c.qk_norm, 0
    f.partial_rotary_factor, f.rope_parameters.partial_rotary_factor = 1.0, 1.0
  else
    f.model_type, f.architectures = "qwen3_moe", {"Qwen3MoeForCausalLM"}
    f.num_experts, f.decoder_sparse_step = c.experts, 1
    f.norm_topk_prob = c.normalize and c.top_k > 1
    f.mlp_only_layers = c.dense_layers == 0 and empty_list or {}
    for l = 1, c.dense_layers do f.mlp_only_layers[l] = l - 1 end
  end
end

local function numbers(t)
  local list = t:view(-1):table()
  return #list == 0 and empty_list or list
end

local function config_text(m)
  local f
  if m.family == "dense" or m.family == "moe" then
    f = shared_fields(m);
    (m.family == "dense" and dense_fields or moe_fields)(m, f)
  else
    f = {model_type = "switchyard", vocab_size = m.cfg.vocab}
  end
  local inputs = {}
  for name, t in pairs(m.inputs) do inputs[name] = numbers(t) end
  f.switchyard = {format = FORMAT, family = m.family, config = json.plain(m.cfg, "save: config.json", "config"), inputs = inputs,
                  single_gate = "score"}
  return json.text(f) .. "\n"
end

-- ---- saving ----

local function check_path(what, path)
  if type(path) ~= "string" or path == "" then
    engine.error(what .. ": takes the path of a folder, got " .. (path == "" and "an empty text" or type(path)))
  end
end

local function write_files(m, folder, text)
  local ok, why, code = engine.no_grad(tensor.save, folder .. "/model.safetensors",
    engine.no_grad(entries, m), {format = "pt"})
  if ok then ok, why, code = engine.file_write(folder .. "/config.json", text) end
  if ok then ok, why, code = m.tokenizer:save(folder .. "/tokenizer.json") end
  return ok, why, code
end

--- file.save(m, path) -> true, or nil, message, code
function file.save(m, path)
  check_path("save", path)
  local text = config_text(m)
  local temp, why, code = engine.folder_begin(path)
  if not temp then return nil, why, code end
  local fine, ok
  fine, ok, why, code = pcall(m._quietly, m, write_files, m, temp, text)
  if fine and ok then return engine.folder_commit(temp, path) end
  engine.folder_drop(temp)
  if not fine then error(ok, 0) end
  return nil, why, code
end

-- ---- loading ----

local function malformed(path, text, ...)
  return nil, ("%s/config.json: %s"):format(path, text:format(...)), "FORMAT"
end

local function read_config(path)
  local text, why, code = engine.file_read(path .. "/config.json")
  if not text then return nil, why, code end
  local config
  config, why, code = engine.json(text)
  if config == nil then return nil, path .. "/config.json: " .. why, code end
  local ours = type(config) == "table" and config.switchyard
  if type(ours) ~= "table" then
    return malformed(path, "Switchyard did not write it: there is no object \"switchyard\"")
  end
  if ours.format ~= FORMAT then return malformed(path, "its format is %s, known is %d", ours.format, FORMAT) end
  if type(ours.family) ~= "string" or type(ours.config) ~= "table" or type(ours.inputs) ~= "table" then
    return malformed(path, "family, config or inputs is missing")
  end
  local c = ours.config
  if not ours.single_gate and c.router == "sigmoid" and c.top_k == 1 and c.normalize then
    return malformed(path, "its sigmoid router with top_k = 1 gave every token the gate 1, now the gate is the score; " ..
      '"normalize": false in its "config" loads it with that')
  end
  return ours
end

local function put_inputs(m, path, inputs)
  for name, list in pairs(inputs) do
    local t = m.inputs[name]
    if t then
      if type(list) ~= "table" or #list ~= t.size then return malformed(path, "input '%s' does not fit", name) end
      local values = {}
      for i, v in ipairs(list) do
        if v == "-inf" or v == "inf" then v = v == "inf" and math.huge or -math.huge end
        if type(v) ~= "number" then return malformed(path, "input '%s' holds a %s", name, type(v)) end
        values[i] = v
      end
      engine.put(t, values)
    end
  end
  return true
end

--- file.load(path, make) -> model, or nil, message, code.  make(family, config) makes a new model, or
-- returns nil for a family that nobody defined.
function file.load(path, make)
  check_path("model.load", path)
  local ours, why, code = read_config(path)
  if not ours then return nil, why, code end
  local fine, m = pcall(make, ours.family, ours.config)
  if not fine then return malformed(path, "%s", m) end
  if not m then
    return malformed(path, "the model is a '%s', which is not defined here (see model.define)", ours.family)
  end
  local tok
  tok, why, code = tokenizer.load(path .. "/tokenizer.json")
  if not tok then return nil, why, code end
  m.tokenizer = tok
  local ok
  ok, why, code = engine.read_tensors(path .. "/model.safetensors", engine.no_grad(entries, m))
  if ok then ok, why, code = put_inputs(m, path, ours.inputs) end
  if not ok then return nil, why, code end
  return m
end

return file
