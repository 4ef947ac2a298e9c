-- What a live run may change of its model by r.NAME = x, and the kind of it: options of a model
-- whose change traces and plans again.  A row is all that there is to write for one: it is an
-- option of models (live.row in the model's options), a field of runs, of completion and of the
-- journal ("config"), and is repeated by resume, replay and fork.
--
-- Numbers that need no new plan are hyper-parameters (include/switchyard/hyper.h) or nn.input.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"

local live = {}

-- {name, type, default, least, most, help=, optional=: it may be nil}; all are of experts
local ROWS = {
  {"top_k", "integer", nil, 1, 64, help = "experts a token (K)"},
  {"capacity", "number", nil, 0.01, 1e6, optional = true,
    help = "slots of an expert in training as a factor of N*K/E; default: dropless"},
}

live.names = {}
local rows = {}

function live.add(row) live.names[#live.names + 1], rows[row[1]] = row[1], row end

for _, row in ipairs(ROWS) do live.add(row) end

--- Is this one of them?
function live.is(name) return rows[name] ~= nil end

--- Does every run have a field of this name that can be set?  A hyper-parameter, or one of these.
function live.of_run(name)
  for _, h in ipairs(engine.hyper()) do
    if h.name == name then return true end
  end
  return live.is(name)
end

--- The row of an option for a model, with this default.
function live.row(name, default)
  local row = {live = "plan"}
  for k, v in pairs(rows[name]) do row[k] = v end
  row[3] = default
  return row
end

--- As the journal has a value, which is a double: as the option has it.
function live.value(name, v)
  local row = rows[name]
  return row and row[2] == "integer" and math.tointeger(v) or v
end

--- Raise if the value cannot be set.  cfg: the model's; most: at most so much of this one, or nil.
function live.check(what, name, value, cfg, most)
  local row = live.row(name)
  if not cfg.experts then error(("%s: %s: this model has no experts"):format(what, name), 0) end
  if value == nil and row.optional then return end
  row[5] = most or row[5]
  options.check(what, name, value, row)
end

return live
