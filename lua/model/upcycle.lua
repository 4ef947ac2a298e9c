-- m:upcycle{experts=, top_k=, ...}: of a dense model one whose every expert is the dense layer,
-- with a router from scratch (Komatsuzaki et al. 2022).
--
--  1. What has the same name and shape in both is copied; experts.NAME is NAME of the dense layer,
--     for each expert; all else (the routers) begins as in a new model.
--  2. The new model gives what the dense one gives where a token's gates sum to 1: to the bit
--     where it has one gate of 1, to a rounding where several sum to 1.  Elsewhere (a gate is a
--     score that is not made to sum to 1) it does not.  Which it is, is measured and told.

local config = require "switchyard.model.config"
local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"

local upcycle = {}

-- Dense families, the family that each becomes, and what an option there is called here.
local TOLD = "experts top_k router balance capacity normalize expert_dropout seed "
local FAMILIES = {
  dense = {to = "moe", same = {expert_dim = "ffn_dim"}, told = TOLD .. "scale dense_layers"},
  encdec = {to = "encdec", same = {expert_dim = "ffn_dim"},
            told = TOLD .. "moe_every moe_first moe_layers encoder_router encoder_capacity"},
}

-- What would take from the new model what it is to have, or add to it.
local REFUSED = {
  shared_experts = "it adds to the output, which would no longer be the dense model's",
  expert_dim = "an expert is as wide as the dense layer (ffn_dim)",
}

local PROBE = 16 -- tokens on which both are compared

local function fail(...) error("upcycle: " .. string.format(...), 0) end

local function check_given(given, told)
  if nn.description() then fail("not inside a model's function") end
  if type(given) ~= "table" then fail("takes a table {experts = n, ...}, got %s", type(given)) end
  local names = {}
  for name in told:gmatch "%S+" do
    names[#names + 1] = name
    names[name] = true
  end
  for name in pairs(given) do
    if REFUSED[name] then fail("%s: %s", name, REFUSED[name]) end
    if not names[name] then options.unknown("upcycle", "option", tostring(name), names) end
  end
end

-- The configuration of the new model.
local function config_of(m, family, rows, given)
  local cfg = {}
  for _, row in ipairs(rows) do
    local name = row[1]
    local from = family.same[name] or not config.no_effect(row, m.cfg, given) and name
    if given[name] ~= nil then cfg[name] = given[name] elseif from then cfg[name] = m.cfg[from] end
  end
  local assumed = rawequal(m.tokenizer, m._assumed)
  if m.tokenizer and not assumed then cfg.vocab = m.tokenizer end
  return cfg
end

-- "...mlp.experts.up_proj.weight" -> "...mlp.up_proj.weight"
local function dense_name(name) return (name:gsub("%.experts%.", ".", 1)) end

-- Fills the new model's parameters; the number of those that are experts'.
local function copy_parameters(m, new)
  local stacked = 0
  for i, info in ipairs(new._info) do
    local p = new.params[i]
    local from = rawget(m.params, info.name) or rawget(m.params, dense_name(info.name))
    if from and info.experts > 0 then
      for e = 1, info.experts do engine.copy(p[e], from) end
      stacked = stacked + 1
    elseif from then
      engine.copy(p, from)
    end
  end
  return stacked
end

-- Logits as a text is written, whatever is dropped in evaluation; an encoder reads the same ids.
local function logits_of(m, ids)
  local d = {mode = "eval", as_written = true, given = {inputs = true, input_documents = true},
             input_context = m:_inputs() and #ids}
  m:_record(d, 1, #ids, function() d.logits = m.logits_of(d.result) end)
  local program = engine.program(d.graph, {d.logits})
  engine.put(d.fields.tokens, ids)
  if d.fields.inputs then engine.put(d.fields.inputs, ids) end
  m:_write_inputs(d)
  m:_quietly(function() program:run() end)
  return engine.clone(d.logits)
end

-- The largest difference of logits, and the largest of them, on a few tokens.
local function compare(m, new)
  local ids, n = {}, math.min(PROBE, m.cfg.context, m:_inputs() or PROBE)
  for i = 1, n do ids[i] = i * 7919 % m.cfg.vocab end
  local a, b = logits_of(m, ids), logits_of(new, ids)
  return (a - b):abs():max():item(), a:abs():max():item()
end

local ROUNDING = 1e-5 -- of the largest logit

local function tell(m, new)
  local off, most = compare(m, new)
  if off == 0 then return 0.0 end
  local router = type(new.cfg.router) == "table" and new.cfg.router.name or new.cfg.router
  local why = off <= ROUNDING * most
    and "a rounding: the gates of a token sum to 1"
    or ("router '%s' weighs with gates that do not sum to 1"):format(router)
  engine.event("upcycle", "note", ("the first logits are off by %.3g, of at most %.3g (%s)")
    :format(off, most, why))
  return off
end

--- upcycle.make(m, given, define) -> the new model, and by how much its logits are off.
-- define(name) -> family {rows=}, function(config) -> model
function upcycle.make(m, given, define)
  local family = FAMILIES[m.family]
  given = given or {}
  check_given(given, family and family.told or TOLD)
  if not family or m.cfg.experts then
    fail("model.%s is none that is dense through and through; it takes model.dense, or "
      .. "model.encdec without experts", m.family)
  end
  if m:_inputs() and given.experts == nil then fail("experts is not given") end
  local to, new_model = define(family.to)
  local new = new_model(config_of(m, family, to.rows, given))
  m:_quietly(function()
    if copy_parameters(m, new) > 0 then return end
    if m:_inputs() then fail("moe_every and its like leave no layer with experts") end
    fail("dense_layers is %d: no layer of %d has experts", new.cfg.dense_layers, new.cfg.layers)
  end)
  new._fresh = false
  return new, tell(m, new)
end

return upcycle
