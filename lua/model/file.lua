-- Models on disk: a folder of model.safetensors, config.json and, of a model with a tokenizer,
-- tokenizer.json and tokenizer_config.json.
--
-- Tensors have the names of Hugging Face: a parameter that stacks experts, (E, ...) and named
-- "....experts.gate_proj.weight", is saved one tensor an expert, "....experts.0.gate_proj.weight".
-- config.json holds what Hugging Face's loaders read (huggingface.lua) and, under "switchyard",
-- what makes the model again, and "transformers", why those cannot load it, where they cannot:
--   {"format": 1, "family": "moe", "config": {...}, "inputs": {"mask.1": [0.0, "-inf"]},
--   "single_gate": "score"}
-- "objective" stands there for a model that was trained by another than next-token prediction,
-- "languages" for one that translates what those are (translate.lua), "tokenizer": false for a
-- model that has none.
-- (single_gate: what the sigmoid router makes of the gate of a lone expert; where it is missing, it
-- was 1.) The folder is written beside its place and then takes it: the old model or the new one,
-- never half.

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local objective = require "switchyard.model.objective"
local options = require "switchyard.core.options"
local hf = require "switchyard.model.huggingface"
local rules = require "switchyard.model.token_rules"
local translate = require "switchyard.model.translate"
local file = {}
local empty_list = json.empty_list

local FORMAT, RULED = 1, 2 -- of a model with rules of tokens (token_rules.lua)

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

local function numbers(t)
  local list = t:view(-1):table()
  return #list == 0 and empty_list or list
end

local function config_text(m, family)
  local f, reason = hf.fields(m, family)
  local inputs = {}
  for name, t in pairs(m.inputs) do inputs[name] = numbers(t) end
  f.switchyard = {format = FORMAT, family = m.family,
                  config = json.plain(m.cfg, "save: config.json", "config"), inputs = inputs,
                  single_gate = "score", transformers = reason, languages = m._languages}
  if not m.tokenizer then f.switchyard.tokenizer = false end
  if m._objective and m._objective ~= "next" then f.switchyard.objective = m._objective end
  if m._rules then f.switchyard.format, f.switchyard.rules = RULED, m._rules end
  if next(m._chosen) then f.switchyard.chosen = m._chosen end
  if m._reads_step then f.switchyard.steps = m:_steps() end
  return json.text(f) .. "\n", reason
end

-- ---- saving ----

local function check_path(what, path)
  if type(path) ~= "string" or path == "" then
    engine.error(what .. ": takes the path of a folder, got "
      .. (path == "" and "an empty text" or type(path)))
  end
end

local rows = {{"family", "string"}}

-- The reason why a family that was asked for cannot say the model is an error; otherwise it is
-- returned.
local function check_family(m, given)
  local family = options.read("save", given, rows).family
  if not family then return end
  local why = hf.why_not(m, hf.check_name("save", family))
  if why then engine.error(("save: family '%s' cannot say this model: %s"):format(family, why)) end
  return family
end

local function write_tokenizer(m, folder)
  if not m.tokenizer then return true end
  local ok, why, code = m.tokenizer:save(folder .. "/tokenizer.json")
  if not ok then return nil, why, code end
  return engine.file_write(folder .. "/tokenizer_config.json",
    json.text(hf.tokenizer_config(m)) .. "\n")
end

local function write_files(m, folder, text)
  local ok, why, code = engine.no_grad(tensor.save, folder .. "/model.safetensors",
    engine.no_grad(entries, m), {format = "pt"})
  if ok then ok, why, code = engine.file_write(folder .. "/config.json", text) end
  if ok then ok, why, code = write_tokenizer(m, folder) end
  return ok, why, code
end

--- file.save(m, path, {family=}) -> true and, where transformers cannot load it, why; or nil,
-- message, code
function file.save(m, path, given)
  check_path("save", path)
  local text, reason = config_text(m, check_family(m, given))
  local temp, why, code = engine.folder_begin(path)
  if not temp then return nil, why, code end
  local fine, ok
  fine, ok, why, code = pcall(m._quietly, m, write_files, m, temp, text)
  if fine and ok then
    ok, why, code = engine.folder_commit(temp, path)
    if not ok then return nil, why, code end
    if not reason then return true end
    return true, "transformers cannot load it: " .. reason
  end
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
  if ours.format ~= FORMAT and ours.format ~= RULED then
    return malformed(path, "its format is %s, known are %d and %d", ours.format, FORMAT, RULED)
  end
  if type(ours.family) ~= "string" or type(ours.config) ~= "table" or
    type(ours.inputs) ~= "table" then
    return malformed(path, "family, config or inputs is missing")
  end
  local c = ours.config
  if not ours.single_gate and c.router == "sigmoid" and c.top_k == 1 and c.normalize then
    return malformed(path,
      "its sigmoid router with top_k = 1 gave every token the gate 1, now the gate is the score; "
      ..
      '"normalize": false in its "config" loads it with that')
  end
  return ours
end

local function put_inputs(m, path, inputs)
  for name, list in pairs(inputs) do
    local t = m.inputs[name]
    if t then
      if type(list) ~= "table" or #list ~= t.size then
        return malformed(path, "input '%s' does not fit", name)
      end
      local values = {}
      for i, v in ipairs(list) do
        if v == "-inf" or v == "inf" then v = v == "inf" and math.huge or -math.huge end
        if type(v) ~= "number" then
          return malformed(path, "input '%s' holds a %s", name, type(v))
        end
        values[i] = v
      end
      engine.put(t, values)
    end
  end
  return true
end

--- file.load(path, make) -> model, or nil, message, code.  make(family, config) makes a new model,
-- or returns nil for a family that nobody defined.
function file.load(path, make)
  check_path("model.load", path)
  local ours, why, code = read_config(path)
  if not ours then return nil, why, code end
  local fine, m = pcall(make, ours.family, ours.config)
  if not fine then return malformed(path, "%s", m) end
  if not m then
    return malformed(path, "the model is a '%s', which is not defined here (see model.define)",
      ours.family)
  end
  if ours.steps ~= nil and not (math.type(ours.steps) == "integer" and ours.steps >= 0) then
    return malformed(path, "steps is %s, must be a whole number from 0", ours.steps)
  end
  if ours.objective ~= nil then
    fine, m._objective = pcall(objective.read, "model.load", ours.objective)
    if not fine then return malformed(path, "%s", m._objective) end
  end
  m:_were_chosen(ours.chosen)
  m._rules = rules.read(m, ours.rules)
  if ours.rules and not m._rules then return malformed(path, "its rules of tokens do not fit") end
  m.tokenizer, m._steps_done = nil, ours.steps
  if ours.tokenizer ~= false then
    m.tokenizer, why, code = tokenizer.load(path .. "/tokenizer.json")
  end
  if ours.tokenizer ~= false and not m.tokenizer then return nil, why, code end
  local ok
  ok, why, code = engine.read_tensors(path .. "/model.safetensors", engine.no_grad(entries, m))
  if ok then ok, why, code = put_inputs(m, path, ours.inputs) end
  if not ok then return nil, why, code end
  m._languages = translate.check(ours.languages)
  if ours.languages and not m._languages then
    return malformed(path, "its languages are not names beside a tag")
  end
  return m
end

return file
