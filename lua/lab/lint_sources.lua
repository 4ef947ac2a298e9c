-- What a linter reads of a run beside its model: the last rows of its series, and what the
-- optimizer of a stored one keeps.

local reconstruct = require "switchyard.run.reconstruct"
local directory = require "switchyard.run.directory"
local sources = {}

--- The last n rows {step, values...} of a series of a live run (its handle) or a store; nil: there
-- is none of this name.
function sources.last(source, name, n)
  local info = source:series()[name]
  if not info then return nil end
  local newest = info.step
  if not newest then newest = select(2, source:last(name)) end
  local rows = source:history(name, nil, (newest or 0) - n + 1)
  if rows.shape[1] < n then rows = source:history(name) end -- of few steps: it is short
  local have = rows.shape[1]
  local first = math.max(1, have - n + 1)
  return have > 0 and rows:narrow(1, first, have - first + 1):table() or {}
end

-- All tensors that the optimizer of a stored run keeps, of its newest checkpoint, or none.
local function optimizer_of(s)
  local config = directory.read("lint", s._store)
  local from = reconstruct.base(s._store:path(), config)
  return from and tensor.load(from .. "/optimizer.safetensors") or {}
end

local kept = setmetatable({}, {__mode = "k"})

--- Of each of E experts of a parameter the largest magnitude that is kept of it, or nil.
function sources.kept(s, name, E)
  kept[s] = kept[s] or optimizer_of(s)
  local out
  for key, t in pairs(kept[s]) do
    if key:sub(1, #name + 1) == name .. "." and #t.shape > 1 and t.shape[1] == E then
      local each = t:cast("f32"):abs():view(E, -1):max(-1):table()
      out = out or {}
      for e = 1, E do out[e] = math.max(out[e] or 0, each[e]) end
    end
  end
  return out
end

return sources
