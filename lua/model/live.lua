-- What a live run may change of its model by r.NAME = x, and the kind of it: options of a model
-- whose change traces and plans again.  A row is all that there is to write for one: it is an
-- option of models (live.row in the model's options), a field of runs, of completion and of the
-- journal ("config"), and is repeated by resume, replay and fork.
--
-- Numbers that need no new plan are hyper-parameters (include/switchyard/hyper.h) or nn.input.

local capacity = require "switchyard.model.capacity"
local engine = require "switchyard.engine"
local options = require "switchyard.core.options"

local live = {}

-- {name, type, default, least, most, help=, optional=: it may be nil; given=: the type that a model
-- takes; shown=, after=, same=: see below}; all are of experts
local ROWS = {
  {"top_k", "integer", nil, 1, 64, help = "experts a token (K)"},
  {"capacity", "number", nil, 0.01, 1e6, optional = true, given = "any", help = capacity.HELP,
    shown = capacity.shown, after = capacity.after, same = capacity.same},
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
  return live.is(name) or name == "router" -- lua/run/reroute.lua
end

--- The row of an option for a model, with this default.
function live.row(name, default)
  local row = {live = "plan"}
  for k, v in pairs(rows[name]) do row[k] = v end
  row[2], row[3] = row.given or row[2], default
  return row
end

--- As the journal has a value, which is a double: as the option has it.  false is none.
function live.value(name, v)
  local row = rows[name]
  if row and row.optional and v == false then return nil end
  return row and row[2] == "integer" and math.tointeger(v) or v
end

--- What r.NAME shows of the option's value.
function live.shown(name, v)
  local row = rows[name]
  if row.shown then return row.shown(v) end
  return v
end

--- The option's value once r.NAME was set to v.
function live.after(name, before, v)
  local row = rows[name]
  if row.after then return row.after(before, v) end
  return v
end

function live.same(name, a, b)
  local row = rows[name]
  if row.same then return row.same(a, b) end
  return a == b
end

--- Raise if the value cannot be set.  cfg: the model's; most: at most so much of this one, or nil.
function live.check(what, name, value, cfg, most)
  local row = live.row(name)
  row[2] = rows[name][2]
  if not cfg.experts then error(("%s: %s: this model has no experts"):format(what, name), 0) end
  if not value and row.optional then return end
  row[5] = most or row[5]
  options.check(what, name, value, row)
end

return live
