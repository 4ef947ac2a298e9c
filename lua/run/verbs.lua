-- e:clone, e:swap, e:merge of an expert of a live run: what they take, what they refuse, and the
-- entry of the journal, which lua/run/expert_parts.lua does.
--
--  1. All is checked before anything is changed: what is refused leaves the run as it was.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local lazy = require "switchyard.core.lazy"
local options = require "switchyard.core.options"
local parts = require "switchyard.run.expert_parts"
local routing = lazy "switchyard.model.routing"
local rules = require "switchyard.model.token_rules"

local verbs = {}

local CLONE = {
  {"noise", "number", 0, 0, 10,
   help = "deviation of what is added to a parameter, as a share of the root of its mean square"},
  {"router", "boolean", true, help = "its row of the router as well"},
}
local MERGE = {
  {"share", "any", 0.5, help = "how much of the first stays, 0 to 1, or \"load\": by the tokens "
    .. "that each had at the last step"},
  {"router", "boolean", true, help = "the router's rows as well"},
}
verbs.rows = {clone = CLONE, merge = MERGE}

--- "L3 expert 5", or "dec 1 memory expert 5": as marks on charts say it.
function verbs.place(e)
  local label = e.run._m._labels[e.layer] or "L" .. e.layer
  return e._moe.name and label .. " " .. e._moe.name or label
end

-- Can the run be operated on, from here and now?
function verbs.check_run(e, what)
  local run = getmetatable(e.run)
  run._check_alone(e.run, what)
  e.run._h:status() -- or it was closed
  run._check_goes_on(e.run, what)
end

-- The number of the other expert, which is given by it or as what r.layers[l].experts[e] is.
local function number_of(e, what, other)
  local E = e._moe.experts
  if type(other) == "table" and getmetatable(other) == getmetatable(e) then
    if other.run ~= e.run or other._moe.place ~= e._moe.place then
      error(("%s: both must be experts of one layer: %s expert %d and %s expert %d"):format(what,
        verbs.place(e), e.number, verbs.place(other), other.number), 0)
    end
    other = other.number
  end
  local n = math.type(other) and math.tointeger(other)
  if not n then
    error(("%s: takes the number of an expert, got %s"):format(what, type(other)), 0)
  end
  if n < 1 or n > E then
    error(("%s: there is no expert %d in %s; they are numbered 1 to %d"):format(what, n,
      verbs.place(e), E), 0)
  end
  if n == e.number then error(("%s: expert %d and itself"):format(what, n), 0) end
  return n
end

local function check_learns(e, what, number)
  if e.run._h:frozen(e._moe.path .. ".experts.", number - 1) ~= "none" then
    error(("%s: %s expert %d is frozen: its parameters stay as they are until :unfreeze()")
      :format(what, verbs.place(e), number), 0)
  end
end

-- May rows of the router be written?
local function check_router(e, what)
  local m = e.run._m
  local frozen = e.run._h:frozen(e._moe.path .. ".gate.", -1)
  for _, info in ipairs(m._info) do
    local is = info.role == "router" and info.layer == e.layer and info.mixture == e._moe.name
    frozen = is and info.frozen and "all" or frozen
  end
  if frozen and frozen ~= "none" then
    error(("%s: the router of %s is frozen: {router = false} leaves its rows as they are")
      :format(what, verbs.place(e)), 0)
  end
end

local function done(e, entry, f)
  local r = e.run
  entry.key = e._moe.path .. "."
  entry.expert = e.number
  entry.values = tensor(entry.values)
  r._m:_quietly(function()
    r._h:settle() -- what was set before goes before
    f(r._m, r._h, entry)
    r._h:record(entry)
  end)
  e._did = entry.text
  return e
end

--- e:clone(to, {noise=0, router=true})
function verbs.clone(e, to, given)
  verbs.check_run(e, "clone")
  local o = options.read("clone", given, CLONE)
  to = number_of(e, "clone", to)
  check_learns(e, "clone", to)
  if o.router then check_router(e, "clone") end
  return done(e, {kind = enum.entry.CLONE, value = e.run._m.cfg.seed + 1 + e.run.step,
    values = {to, o.noise, o.router and 1 or 0},
    text = ("clone %s %d->%d%s"):format(verbs.place(e), e.number, to,
      o.noise > 0 and (", noise %g"):format(o.noise) or "")}, parts.clone)
end

-- Does exchanging two experts change what is computed?  Why, or nil.
local function order_matters(e, other)
  local moe = e._moe
  local router, G = moe.router, rawget(moe.options, "groups") or 1
  local why = router.except and router.except.order
  if why and (moe.choice ~= "largest" or not routing.gives(router, "logits")) then
    return ("with router '%s' it would change what is computed: %s"):format(router.name, why)
  end
  local each = moe.experts // G
  if G > 1 and (e.number - 1) // each ~= (other - 1) // each then
    return ("%d and %d lie in two of the %d groups, of which a token chooses first"):format(
      e.number, other, G)
  end
end

-- Inputs of the layer, the mask among them.
local function swap_inputs(e, other)
  local m, h, n, E = e.run._m, e.run._h, e.number, e._moe.experts
  parts.each_input(m, e._moe, function(name, t)
    local x = t:view(E, -1)
    local y = engine.clone(x)
    engine.copy(y[n], x[other]:contiguous())
    engine.copy(y[other], x[n]:contiguous())
    if y:hash() == engine.clone(x):hash() then return end
    h:apply{kind = enum.entry.INPUT, key = name, values = y:view(-1),
            text = ("swap %s %d<->%d: %s"):format(verbs.place(e), n, other, name)}
    engine.copy(t:view(E, -1), y)
  end)
end

--- e:swap(other)
function verbs.swap(e, other)
  verbs.check_run(e, "swap")
  other = number_of(e, "swap", other)
  local why = order_matters(e, other)
  if why then error("swap: " .. why, 0) end
  return done(e, {kind = enum.entry.SWAP, values = {other},
    text = ("swap %s %d<->%d"):format(verbs.place(e), e.number, other)}, function(m, h, entry)
      local before = m._rules
      local function exchange()
        parts.swap(m, h, entry)
        swap_inputs(e, other)
      end
      exchange()
      if not before then return end
      m._rules = rules.swapped(before, e._moe.path, e.number, other)
      local ok, failure = pcall(getmetatable(e.run)._replan, e.run)
      if ok then return end
      m._rules = before -- no memory for the new plan: the run is as it was
      exchange()
      error(failure, 0)
    end)
end

-- What stays of the first, by the option share.
local function share_of(e, other, share)
  if share ~= "load" then
    options.check("merge", "share", share, {"share", "number", nil, 0, 1})
    return share
  end
  local name = e.run._h:series_of(enum.series.LOAD, e.layer, e._moe.name)
  local load = name and e.run._h:last(name)
  local sum = load and load[e.number] + load[other] or 0
  if sum <= 0 then
    error(("merge: share = \"load\": neither %d nor %d had a token at the last step"):format(
      e.number, other), 0)
  end
  return load[e.number] / sum
end

--- e:merge(other, {share=0.5, router=true}); disable(e, number): takes one out, or raises and has
-- changed nothing
function verbs.merge(e, other, given, disable)
  verbs.check_run(e, "merge")
  local o = options.read("merge", given, MERGE)
  other = number_of(e, "merge", other)
  check_learns(e, "merge", e.number)
  check_learns(e, "merge", other)
  if o.router then check_router(e, "merge") end
  local mask = e.run._m.inputs["mask." .. e._moe.place]:table()
  if mask[e.number] ~= 0 then
    error(("merge: %s expert %d is disabled: no token would come to what they make"):format(
      verbs.place(e), e.number), 0)
  end
  local share = share_of(e, other, o.share)
  return done(e, {kind = enum.entry.MERGE, values = {other, share, o.router and 1 or 0},
    text = ("merge %s %d+%d, %.3g of %d"):format(verbs.place(e), e.number, other, share, e.number)},
    function(m, h, entry)
      disable(e, other)
      parts.merge(m, h, entry)
    end)
end

-- ---- tokens that an expert gets, or does not ----

-- Ids of force and forbid: none twice, in their order.
local function read_ids(e, what, given)
  local V, list, seen = e.run._m.cfg.vocab, {}, {}
  if type(given) ~= "table" then
    error(("%s: takes a list of token ids, got %s"):format(what, type(given)), 0)
  end
  for i = 1, engine.length(what, given) do
    local id = math.type(given[i]) and math.tointeger(given[i])
    if not id or id < 0 or id >= V then
      error(("%s: token %d is %s, must be from 0 to %d"):format(what, i, tostring(given[i]), V - 1),
        0)
    end
    if not seen[id] then list[#list + 1] = id end
    seen[id] = true
  end
  table.sort(list)
  return list
end

local function count_on(on)
  local n = 0
  for _, v in ipairs(on) do n = n + (v and 1 or 0) end
  return n
end

-- What is wrong with these rules of a mixture, or nil; K: its top_k; off: the number of an expert
-- that is to be disabled.
local function wrong_with(m, moe, all, K, off)
  local enabled = {}
  for i, v in ipairs(m.inputs["mask." .. moe.place]:table()) do enabled[i] = v == 0 and i ~= off end
  return rules.wrong(all[moe.path], moe.experts, K, enabled, moe.reach or count_on)
end

local function check_rules(e, what, all, off)
  local wrong = wrong_with(e.run._m, e._moe, all, e._moe.top_k, off)
  if wrong then error(("%s: %s: %s"):format(what, verbs.place(e), wrong), 0) end
end

local function check_obeys(e, what)
  if e._moe.choice then return end
  error(("%s: router '%s' does not choose K experts for a token: none can be forced on it or kept "
    .. "from it"):format(what, e._moe.router.name), 0)
end

--- Raise where rules of tokens would not hold any more without expert `number`.
function verbs.check_without(e, what, number)
  if e.run._m._rules then check_rules(e, what, e.run._m._rules, number) end
end

--- The same with another K.
function verbs.check_top_k(m, K)
  for layer, list in pairs(m._rules and m._moe or {}) do
    for _, moe in ipairs(list) do
      local wrong = wrong_with(m, moe, m._rules, K)
      if wrong then
        error(("top_k: %s: %s"):format(engine.place(layer, moe.name, m._labels[layer]), wrong), 0)
      end
    end
  end
end

local SAID = 6 -- ids of a mark

local function ids_text(ids)
  if #ids == 0 then return "no token any more" end
  local text = table.concat(ids, ", ", 1, math.min(#ids, SAID))
  return "tokens " .. text .. (#ids > SAID and (", %d more"):format(#ids - SAID) or "")
end

--- e:force(ids), e:forbid(ids)
function verbs.rule(e, what, given)
  verbs.check_run(e, what)
  local r, m, ids = e.run, e.run._m, read_ids(e, what, given)
  local was, path = m._rules, e._moe.path
  local before = rules.of(m, path, e.number)[what] or {}
  if table.concat(before, " ") == table.concat(ids, " ") then return e end -- as it is
  local all = rules.with(was, path, e.number, what, ids)
  check_obeys(e, what)
  if all then check_rules(e, what, all) end
  m._rules = all
  local text = ("%s %s %d: %s"):format(what, verbs.place(e), e.number, ids_text(ids))
  local ok, why = pcall(getmetatable(r)._replan, r, function()
    r._h:record{kind = what, key = path .. ".", expert = e.number,
                values = #ids > 0 and tensor(ids):cast "f32" or nil, text = text}
  end)
  e._did = ok and text or nil
  if ok then return e end
  m._rules = was
  error(why, 0)
end

return verbs
