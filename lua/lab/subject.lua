-- What is measured: a model, a run that goes on, or a stored one.
--
--  1. All of a measurement is of one step: of a run that goes on a copy of its model is measured,
--     and the run is held only while it is copied.  (Where surgery gave it shapes that the
--     configuration does not say, the run is held as long as it is measured.)
--  2. Nothing of the model or the run changes.

local engine = require "switchyard.engine"
local directory = require "switchyard.run.directory"
local Class = require("switchyard.model.model")._Class
local Run = require("switchyard.run.run").Run
local Stored = require("switchyard.run.stored").Stored
local subject = {}

--- The model of x, and its run or nil.  Raises for what is none, and for a run that is closed.
function subject.model(what, x)
  local class = getmetatable(x)
  if class == Class then return x, x._owner end
  if class == Run then
    if Run._live(x._o.name) == x then return x._m, x end
    local name = engine.clean(x._o.name)
    error(("%s: run '%s' is closed; runs %q is what is stored of it"):format(what, name, name), 0)
  end
  if class == Stored then return x.model, x end
  error(("%s: takes a model or a run, got %s"):format(what, type(x)), 0)
end

--- f(model, ...) with the model of x as it is at this moment.
function subject.still(what, x, f, ...)
  local m = subject.model(what, x)
  if not m._run then return f(m, ...) end
  local twin = m:_twin()
  if twin then return f(twin, ...) end
  return m:_quietly(f, m, ...)
end

--- The data of a run, or nil of a model.  Raises where that of a stored run cannot be read.
function subject.data(what, x)
  if getmetatable(x) == Run then return rawget(x, "_d") end
  if getmetatable(x) ~= Stored then return nil end
  return directory.data(what, x.dir, directory.read(what, x._store))
end

--- Raise for a model without mixtures.
function subject.check_mixtures(what, m)
  if next(m._moe) == nil then
    error(("%s: model.%s has no mixture of experts: it is dense"):format(what, m.family), 0)
  end
end

return subject
