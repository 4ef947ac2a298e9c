-- Experts of a live run: r.layers[l].experts[e]:disable() :enable() :freeze() :unfreeze() :reset().  Each falls
-- between two steps and is written into the journal with all that a replay needs (lua/again.lua does it again).

local engine = require "switchyard.engine"
local surgery = {}

local Expert = {}
surgery.Expert = Expert
Expert.__index = Expert
Expert.__name = "expert"

local function set_mask(e, off)
  local name = "mask." .. e.layer
  local mask = e.run._m.inputs[name]
  local E = mask.size
  local values = mask:table()
  if (values[e.number] ~= 0) == off then return end -- as it is
  values[e.number] = off and -math.huge or 0
  local enabled = 0
  for i = 1, E do enabled = enabled + (values[i] == 0 and 1 or 0) end
  local K = e.run._m.layers[e.layer].moe.top_k
  if enabled < K then
    error(("disable: %d experts would remain in layer %d, a token needs %d"):format(enabled, e.layer, K), 0)
  end
  local fresh = tensor(values)
  e.run._m:_quietly(function()
    e.run._h:settle() -- what was set before goes before
    e.run._h:apply{kind = "input", key = name, values = fresh,
                   text = ("layer %d expert %d %s"):format(e.layer, e.number, off and "disabled" or "enabled")}
  end)
  engine.copy(mask, fresh)
end

function Expert.__tostring(e)
  local off = e.run._m.inputs["mask." .. e.layer]:table()[e.number] ~= 0
  return ("layer %d expert %d of run %s: %s"):format(e.layer, e.number, e.run.name, off and "disabled" or "enabled")
end

--- expert:disable(): no token is sent to it from the next step on;  expert:enable() undoes it
function Expert:disable() set_mask(self, true) return self end
function Expert:enable() set_mask(self, false) return self end

local function prefix(e) return e.run._m._moe[e.layer].path .. ".experts." end

local function freeze(e, kind)
  e.run._h:apply{kind = kind, key = prefix(e), expert = e.number, value = kind == "freeze" and 1 or 0,
                 text = ("layer %d expert %d"):format(e.layer, e.number)}
  return e
end

--- expert:freeze(): its parameters stay as they are;  expert:unfreeze() undoes it
function Expert:freeze() return freeze(self, "freeze") end
function Expert:unfreeze() return freeze(self, "unfreeze") end

--- Parameters under a prefix of one expert drawn anew, its moments cleared (the run is held).
function surgery.redraw(m, h, under, expert, seed)
  for i, info in ipairs(m._info) do
    if info.experts > 0 and info.name:sub(1, #under) == under then
      engine.fill(m.params[i][expert], tonumber(info.init) or 0.02, seed, i)
      h:clear_moments(info.name, expert - 1)
    end
  end
end

--- expert:reset(): parameters drawn anew, moments cleared
function Expert:reset()
  local m, h = self.run._m, self.run._h
  m:_quietly(function()
    local seed = m.cfg.seed + 1 + self.run.step
    surgery.redraw(m, h, prefix(self), self.number, seed)
    h:record{kind = "reset", key = prefix(self), expert = self.number, value = seed,
             text = ("layer %d expert %d"):format(self.layer, self.number)}
  end)
  return self
end

-- A list whose items are made when asked for.  What is not there is an error that names the range; nil only for
-- ipairs and its like, which look for the end.
local function numbered(what, kind, n, make)
  return setmetatable({}, {
    __len = function() return n end,
    __index = function(_, i)
      if math.type(i) == "integer" and i >= 1 and i <= n then return make(i) end
      if debug.getinfo(2, "S").what == "C" then return nil end
      error(("%s: there is no %s %s; they are numbered 1 to %d"):format(what, kind, tostring(i), n), 2)
    end,
  })
end

--- r.layers: a list whose elements have number, load and, in layers with a mixture, experts
function surgery.layers(r)
  return numbered(r.name, "layer", #r._m.layers, function(l)
    local layer = r._m.layers[l]
    local out = {number = l}
    local row = r._h:last("load." .. l)
    out.load = row and tensor(row) or nil
    if layer.moe then
      out.experts = numbered(("%s: layer %d"):format(r.name, l), "expert", #layer.moe.experts,
        function(e) return setmetatable({run = r, layer = l, number = e}, Expert) end)
    end
    return out
  end)
end

--- Experts of the layer that has the fewest enabled.
function surgery.fewest_enabled(r)
  local fewest = math.huge
  for l in pairs(r._m._moe) do
    local n = 0
    for _, v in ipairs(r._m.inputs["mask." .. l]:table()) do n = n + (v == 0 and 1 or 0) end
    fewest = math.min(fewest, n)
  end
  return fewest
end

return surgery
