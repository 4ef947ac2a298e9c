-- r.router = "name" or {"name", option = value} on a live run: another router for all of the
-- model's mixtures, traced again between two steps.
--
--     gate.weight and what else both have     stays, with what the optimizer keeps of it
--     states that the new one has alone       begin as its init says
--     coefficients of balance rules           begin as the new router's own; each that is another
--                                             than before is an entry of the journal (input)
--     top_k, capacity                         stay; refused where the new router cannot be so
--
--  1. A router is switched by making a model of the new configuration (model.lua), of which the
--     run's model takes all but the parameters: so options are checked as ever.
--  2. A router whose parameters are others than the run has is refused: flat buffers and what the
--     optimizer keeps are laid out when a run begins (src/train/params.h).
--  3. An entry of kind router has the router as its key, {"name": ...} as JSON where it has
--     options.  What the model is at a step follows from the last such entry (and from r._config
--     where there is none), whatever came before.

local config = require "switchyard.model.config"
local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local json = require "switchyard.core.json"
local live = require "switchyard.model.live"
local Model = require("switchyard.model.model")._Model
local routing = require "switchyard.model.routing"

local reroute = {}
local KEY_MOST = 95 -- bytes (struct sy_journal_entry)

local function text_of(router)
  if type(router) ~= "table" then return router end
  return (json.text(router):gsub("%s*\n%s*", ""))
end

local function value_of(key)
  if key:sub(1, 1) ~= "{" then return key end
  return assert(engine.json(key))
end

--- The key of the last entry of kind router in a journal, or nil.
function reroute.at(journal)
  local key
  for _, e in ipairs(journal) do
    if e.kind == enum.entry.ROUTER then key = e.key end
  end
  return key
end

-- ---- the model ----

local OF_ROUTER = {"balance", "normalize", "scale", "sigmoid_mask"}

-- A model of m's family with this router; key nil: of `base`, the configuration that it began with.
-- shape: what a live run may change beside it (live.lua).
local function made(m, base, key, shape)
  local cfg = {}
  for name, v in pairs(key and m.cfg or base) do cfg[name] = v end
  for _, name in ipairs(live.names) do cfg[name] = shape[name] end
  if not key then return Model.new(m.family, cfg, true) end
  for _, name in ipairs(OF_ROUTER) do cfg[name] = nil end
  cfg.router = value_of(key)
  return Model.new(m.family, cfg)
end

local function check_params(m, new)
  local had = {}
  for i, info in ipairs(m._info) do had[info.name] = m.params[i] end
  for i, info in ipairs(new._info) do
    local p, name = had[info.name], info.name
    if not p or table.concat(p.shape, " ") ~= table.concat(new.params[i].shape, " ") then
      error(("router: '%s' has a parameter %s%s, which the run has not: a run's parameters are "
        .. "laid out when it begins; train(m, d, {...}) begins another"):format(
        routing.name_of(new.cfg.router), name, p and " of another shape" or ""), 0)
    end
    if (info.frozen or false) ~= (m._info[name].frozen or false) then
      error("router: frozen is for the whole of a run: r.layers[l].router:freeze() stops its "
        .. "learning", 0)
    end
    had[name] = nil
  end
  local left = next(had)
  if left then
    error(("router: '%s' has no parameter %s, which the run goes on to learn"):format(
      routing.name_of(new.cfg.router), left), 0)
  end
end

-- What a model is by its router, beside its parameters.
local PARTS = {"_forward", "_state_names", "_input_names", "_ranges", "_given", "_means", "_unread",
               "_varies", "_reads_step", "_routed"}

local function keep(m)
  local was = {cfg = m.cfg, states = m.states, inputs = m.inputs, known = {}}
  for _, name in ipairs(PARTS) do was[name] = rawget(m, name) end
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      was.known[moe] = {moe.router, moe.options, moe.choice, moe.reach}
    end
  end
  return was
end

local function put(m, parts)
  m.cfg, m.states, m.inputs = parts.cfg, parts.states, parts.inputs
  for _, name in ipairs(PARTS) do rawset(m, name, parts[name]) end
  for moe, of in pairs(parts.known or {}) do
    moe.router, moe.options, moe.choice, moe.reach = table.unpack(of, 1, 4)
  end
end

local function same_shape(a, b)
  return a and table.concat(a.shape, " ") == table.concat(b.shape, " ")
end

-- What both have under one name and shape stays the tensor, or the value, that it was.
local function carry(m, new)
  for _, name in ipairs(new._state_names) do
    local was = m.states[name]
    if same_shape(was, new.states[name]) then rawset(new.states, name, was) end
  end
  for _, name in ipairs(new._input_names) do
    local was = m.inputs[name]
    if same_shape(was, new.inputs[name]) then rawset(new.inputs, name, was) end
  end
end

local function states_of(m)
  local list = {}
  for i, name in ipairs(m._state_names) do list[i] = m.states[name] end
  return list
end

--- m becomes what it is with the router of a key (nil: as `base` has it), values of inputs as they
-- were; h: its run's handle, or nil; shape: its top_k and capacity then, or as they are.  Returns a
-- function that undoes it, and the new router's own values of inputs.  Not yet traced.  Raises, and
-- has changed nothing.
function reroute.put(m, h, base, key, shape)
  shape = shape or m.cfg
  local new, own = made(m, base, key, shape), {}
  check_params(m, new)
  for _, name in ipairs(new._input_names) do own[name] = engine.clone(new.inputs[name]) end
  local was = keep(m)
  for _, name in ipairs(live.names) do new.cfg[name] = shape[name] end
  carry(m, new)
  local now = {cfg = new.cfg, states = new.states, inputs = new.inputs}
  for _, name in ipairs(PARTS) do now[name] = rawget(new, name) end
  now._routed = key
  if h then h:states(states_of(new)) end
  put(m, now)
  return function()
    put(m, was)
    if h then h:states(states_of(m)) end
  end, own
end

-- ---- the run ----

--- What an entry of kind router says (lua/run/reconstruct.lua); after: once it is traced.
function reroute.again(r, e, after)
  local m = r._m
  m:_quietly(function()
    local undo = reroute.put(m, r._h, r._config and r._config.model.config, e.key)
    local ok, why = pcall(getmetatable(r)._replan, r, after)
    if ok then return end
    undo()
    error(why, 0)
  end)
end

-- Coefficients begin as the new router's own.
local function put_coefficients(r, own)
  local m = r._m
  for _, name in ipairs(m._input_names) do
    local now, want = m.inputs[name], own[name]
    if routing.is_coefficient(name) and now.size == 1 and now:item() ~= want:item() then
      r._h:apply{kind = enum.entry.INPUT, key = name, values = want:view(-1),
                 text = ("%s = %.6g"):format(name, want:item())}
      engine.copy(now, want)
    end
  end
end

--- r.router = given
function reroute.set(r, given)
  local m, h = r._m, r._h
  if not m.cfg.experts or not m:_has_option "router" then
    error(("router: model.%s has no option router"):format(m.family), 0)
  end
  local router = config.router("router", given, m.cfg)
  local key = text_of(router)
  if key == text_of(m.cfg.router) then return end
  if #key > KEY_MOST then
    error(("router: its options are %d bytes of JSON in the journal, at most %d"):format(#key,
      KEY_MOST), 0)
  end
  m:_quietly(function()
    h:settle() -- what was set before goes before
    local undo, own = reroute.put(m, h, nil, key)
    local ok, why = pcall(getmetatable(r)._replan, r, function()
      h:record{kind = enum.entry.ROUTER, key = key, text = "router = " .. key}
    end)
    if not ok then
      undo()
      error(why, 0)
    end
    put_coefficients(r, own)
  end)
end

return reroute
