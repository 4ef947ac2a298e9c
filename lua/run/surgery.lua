-- Experts of a live run: r.layers[l].experts[e]:disable() :enable() :freeze() :unfreeze() :reset(),
-- and those of lua/run/verbs.lua.  Each falls between two steps and is written into the journal
-- with all that a replay needs (lua/run/reconstruct.lua does it again).

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local fields = require "switchyard.core.fields"
local live = require "switchyard.model.live"
local options = require "switchyard.core.options"
local verbs = require "switchyard.run.verbs"
local surgery = {}

local methods = {}
local INSTEAD = {enabled = "x:enable() and x:disable() do that",
                 disabled = "x:disable() and x:enable() do that",
                 frozen = "x:freeze() and x:unfreeze() do that",
                 load = "loads are of the layer: r.layers[l].load"}
local Expert = fields.class("expert", methods, "run layer number", function(_, name, setting)
  return INSTEAD[name] and ("there is no field '%s'%s; %s"):format(name,
    setting and " to set" or "", INSTEAD[name])
end)
surgery.Expert = Expert

-- "layer 2", "dec 1 memory"
local function place_of(r, layer, moe)
  return engine.place(layer, moe.name, r._m._labels[layer])
end

local function called(e)
  return ("%s expert %d"):format(place_of(e.run, e.layer, e._moe), e.number)
end

--- How many enabled experts a token of a mixture can choose among, at the least, by its mask.
function surgery.reach(moe, values)
  local on, n = {}, 0
  for e, v in ipairs(values) do
    on[e] = v == 0
    n = n + (v == 0 and 1 or 0)
  end
  return moe.reach and moe.reach(on) or n
end

-- what: the verb that does it to expert `number` of e's mixture.
local function set_mask(e, off, what, number)
  local name = "mask." .. e._moe.place
  local mask = e.run._m.inputs[name]
  local E = mask.size
  local values = mask:table()
  if (values[number] ~= 0) == off then return end -- as it is
  values[number] = off and -math.huge or 0
  local enabled, K = surgery.reach(e._moe, values), e._moe.top_k
  if enabled < K then
    error(("%s: %d of %d experts would remain in %s%s, a token needs %d"):format(what, enabled, E,
      place_of(e.run, e.layer, e._moe),
      e._moe.reach and " for a token whose groups have the fewest" or "", K), 0)
  end
  local fresh = tensor(values)
  e.run._m:_quietly(function()
    e.run._h:settle() -- what was set before goes before
    e.run._h:apply{kind = "input", key = name, values = fresh,
                   text = ("%s expert %d %s"):format(place_of(e.run, e.layer, e._moe), number,
                     off and "disabled" or "enabled")}
  end)
  engine.copy(mask, fresh)
end

local FROZEN = {all = "frozen", some = "partly frozen", none = "learns"}

-- How many of these parameters learn, as a word; nil: there are none.  Of a run that is closed
-- nobody knows.
local function frozen_of(r, key, expert)
  local open, frozen = pcall(r._h.frozen, r._h, key, expert)
  return not open and "closed" or FROZEN[frozen]
end

local function prefix(e) return e._moe.path .. ".experts." end

function Expert.__tostring(e)
  local off = e.run._m.inputs["mask." .. e._moe.place]:table()[e.number] ~= 0
  local frozen = frozen_of(e.run, prefix(e), e.number - 1) or FROZEN.none
  local did = rawget(e, "_did") -- by the last verb that was asked of this very object
  return ("%s of run %s: %s%s%s"):format(called(e), e.run.name, off and "disabled" or "enabled",
    frozen ~= FROZEN.none and ", " .. frozen or "", did and "; " .. did or "")
end

local function freeze(e, kind)
  verbs.check_run(e, kind)
  e.run._h:apply{kind = kind, key = prefix(e), expert = e.number,
                 value = kind == "freeze" and 1 or 0,
                 text = ("%s %s %d"):format(kind, verbs.place(e), e.number)}
  return e
end

--- What an entry of kind reset says (the run is held): parameters of one expert drawn anew as when
-- the model was made, and what the optimizer keeps of them cleared.  An entry without values is of
-- a program that drew those that begin as zeros or ones from the normal of the default.
function surgery.redraw(m, h, e)
  for i, info in ipairs(m._info) do
    if info.experts > 0 and info.name:sub(1, #e.key) == e.key then
      local init = info.init
      if not e.values then init = tonumber(init) end
      engine.fill(m.params[i][e.expert], init, math.tointeger(e.value), i, info.name)
      h:forget(info.name, e.expert - 1)
    end
  end
end

local function reset(e)
  local m, h = e.run._m, e.run._h
  verbs.check_run(e, "reset")
  m:_quietly(function()
    local entry = {kind = "reset", key = prefix(e), expert = e.number,
                   value = m.cfg.seed + 1 + e.run.step, values = tensor{1},
                   text = ("reset %s %d"):format(verbs.place(e), e.number)}
    surgery.redraw(m, h, entry)
    h:record(entry)
    e._did = entry.text
  end)
  return e
end

local function mask(e, what)
  verbs.check_run(e, what)
  if what == "disable" then verbs.check_without(e, what, e.number) end
  set_mask(e, what == "disable", what, e.number)
  return e
end

local function merge(e, other, given)
  return verbs.merge(e, other, given, function(one, n)
    verbs.check_without(one, "merge", n)
    set_mask(one, true, "merge", n)
  end)
end

--- expert:disable(): no token is sent to it from the next step on;  expert:enable() undoes it
function methods:disable() return options.call(mask, self, "disable") end
function methods:enable() return options.call(mask, self, "enable") end

--- expert:freeze(): its parameters stay as they are;  expert:unfreeze() undoes it
function methods:freeze() return options.call(freeze, self, "freeze") end
function methods:unfreeze() return options.call(freeze, self, "unfreeze") end

--- expert:reset(): parameters drawn anew, the optimizer's state of them cleared
function methods:reset() return options.call(reset, self) end

--- expert:clone(to, {noise=0, router=true}): expert `to` becomes a copy of it
function methods:clone(...) return options.call(verbs.clone, self, ...) end

--- expert:swap(other): the two change places, and what is computed stays
function methods:swap(...) return options.call(verbs.swap, self, ...) end

--- expert:merge(other, {share=0.5, router=true}): it becomes the mean of both, and the other is
-- disabled
function methods:merge(...) return options.call(merge, self, ...) end

--- expert:force{ids}: tokens of these ids always go to it, expert:forbid{ids}: never; {}: as the
-- router chooses
function methods:force(ids) return options.call(verbs.rule, self, "force", ids) end
function methods:forbid(ids) return options.call(verbs.rule, self, "forbid", ids) end

-- ---- the router of a layer ----

local router_methods = {}
local Router = fields.class("router", router_methods, "run layer")
surgery.Router = Router

local function router_key(x) return x._moe.path .. ".gate." end

local function router_called(x) return ("%s router"):format(place_of(x.run, x.layer, x._moe)) end

local function freeze_router(x, kind)
  local m, key = x.run._m, router_key(x)
  for _, info in ipairs(m._info) do
    if info.role == "router" and info.layer == x.layer and info.mixture == x._moe.name
      and info.name:sub(1, #key) ~= key then
      error(("%s: the router's parameter '%s' would go on learning: what is to be frozen with it "
        .. "is named gate.NAME"):format(kind, info.name), 3)
    end
    if info.frozen and info.name:sub(1, #key) == key then
      error(("%s: the model's router is frozen for good (router = {..., frozen = true})")
        :format(kind), 3)
    end
  end
  x.run._h:apply{kind = kind, key = key, value = kind == "freeze" and 1 or 0,
                 text = ("%s %s"):format(kind, router_called(x))}
  return x
end

--- router:freeze(): its parameters stay as they are;  router:unfreeze() undoes it
function router_methods:freeze() return freeze_router(self, "freeze") end
function router_methods:unfreeze() return freeze_router(self, "unfreeze") end

function Router.__tostring(x)
  return ("router of %s of run %s: %s"):format(place_of(x.run, x.layer, x._moe), x.run.name,
    frozen_of(x.run, router_key(x), -1) or "has no parameters")
end

local function router_of(r, l, moe)
  local out = fields.object(Router, {run = r, layer = l})
  out._moe = moe
  return out
end

-- Layers have no settings of their own; what the run has is said where it is.
local Layer = fields.class("layer", {}, "number load experts router mixtures label",
  function(layer, name, setting)
  local run = layer._run
  if live.is(name) or run._h:get(name) ~= nil or run._m.inputs[name] then
    return ("%s is the run's, for all layers: r.%s%s"):format(name, name,
      setting and " = ..." or "")
  end
  if name == "frozen" then
    return "experts are frozen one by one: r.layers[l].experts[e]:freeze(); the router by "
      .. "r.layers[l].router:freeze()"
  end
end)

-- One of a layer's mixtures, as it is in the run.
local Mixture = fields.class("mixture", {}, "name load experts router")

local function load_of(r, layer, mixture)
  local name = r._h:series_of(enum.series.LOAD, layer, mixture)
  local row = name and r._h:last(name)
  return row and tensor(row) or nil
end

local function experts_of(r, l, moe)
  local function expert(e)
    local out = fields.object(Expert, {run = r, layer = l, number = e})
    out._moe = moe
    return out
  end
  local what = ("%s: %s"):format(r.name, place_of(r, l, moe))
  return fields.numbered(what, "expert", moe.experts, expert,
    "r.layers[l].experts[e]:disable() takes one out")
end

-- load and experts are those of its first mixture.
local function layer_of(r, l)
  local list = r._m._moe[l] or {}
  local out = fields.object(Layer, {number = l, label = r._m._labels[l],
                                    load = load_of(r, l, list[1] and list[1].name),
                                    experts = list[1] and experts_of(r, l, list[1]),
                                    router = list[1] and router_of(r, l, list[1])})
  out._run = r
  out.mixtures = fields.numbered(("%s: layer %d"):format(r.name, l), "mixture", #list, function(i)
    return fields.object(Mixture, {name = list[i].name or "", load = load_of(r, l, list[i].name),
                                   experts = experts_of(r, l, list[i]),
                                   router = router_of(r, l, list[i])})
  end, "the mixtures are the model's", function(name)
    for i = 1, type(name) == "string" and #list or 0 do
      if (list[i].name or "") == name then return i end
    end
  end)
  return out
end

function Layer.__tostring(layer)
  local n, r = layer.experts and #layer.experts, layer._run
  local label = layer.label and (" (%s)"):format(layer.label) or ""
  return ("layer %d%s of run %s: %s"):format(layer.number, label, r.name,
    n and ("%d experts"):format(n) or "no experts")
end

function Mixture.__tostring(x)
  return ("mixture %s: %d experts"):format(x.name ~= "" and x.name or "1", #x.experts)
end

--- r.layers: a list whose elements have number, load and, in layers with a mixture, experts;
-- r.layers["enc 2"] is the one of that label
function surgery.layers(r)
  local labels = r._m._labels
  return fields.numbered(r.name, "layer", #r._m.layers, function(l) return layer_of(r, l) end,
    "the layers are the model's", function(name)
      for l = 1, type(name) == "string" and #r._m.layers or 0 do
        if labels[l] == name then return l end
      end
    end)
end

--- How many experts of all layers are disabled.
function surgery.disabled(r)
  local n = 0
  for _, list in pairs(r._m._moe) do
    for _, moe in ipairs(list) do
      local mask = r._m.inputs["mask." .. moe.place]:table()
      for _, v in ipairs(mask) do n = n + (v ~= 0 and 1 or 0) end
    end
  end
  return n
end

--- Experts that a token can choose among where the fewest are enabled.
function surgery.fewest_enabled(r)
  local fewest = math.huge
  for _, list in pairs(r._m._moe) do
    for _, moe in ipairs(list) do
      local values, off = r._m.inputs["mask." .. moe.place]:table(), false
      for _, v in ipairs(values) do off = off or v ~= 0 end
      -- where all are enabled the router says it better
      fewest = math.min(fewest, off and surgery.reach(moe, values) or #values)
    end
  end
  return fewest
end

return surgery
