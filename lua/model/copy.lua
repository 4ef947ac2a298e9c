-- m:copy_from(source): parameters and states of another model, by their names: a dense student
-- begins with what a mixture has that is no expert's (Fedus et al. 2021), a model of another
-- dropout with all of it.
--
--  1. What has the same name and shape in both is copied; all else of m stays as it is, which is
--     told.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"

local copy = {}

local function fail(...) error("copy_from: " .. string.format(...), 0) end

local function check(m, from)
  if nn.description() then fail("not inside a model's function") end
  if type(from) ~= "table" or not from._forward then fail("takes a model, got %s", type(from)) end
  if rawequal(m, from) then fail("the model is its own source") end
  if m._run then
    fail("the model is that of run '%s', whose journal could not repeat it: copy before train, or "
      .. "after r:close()", m._run_name)
  end
end

local function same_shape(a, b)
  if a.ndim ~= b.ndim then return false end
  for i = 1, a.ndim do
    if a.shape[i] ~= b.shape[i] then return false end
  end
  return true
end

-- name -> tensor of a model, and the names in order.
local function tensors_of(m)
  local all, names = {}, {}
  local function add(name, t) all[name], names[#names + 1] = t, name end
  for i, info in ipairs(m._info) do add(info.name, m.params[i]) end
  for _, name in ipairs(m._state_names) do add(name, m.states[name]) end
  return all, names
end

-- "3 (a, b, c)", of many the first ones.
local function list_text(names)
  local most = 4
  local shown = table.concat(names, ", ", 1, math.min(most, #names))
  if #names == 0 then return "0" end
  return ("%d (%s%s)"):format(#names, shown, #names > most and ", ..." or "")
end

local function text_of(report)
  return ("copied %d tensors (%.2f M numbers); not in the source, or of another shape there: %s; "
    .. "of the source left: %s"):format(#report.copied, report.numbers / 1e6,
    list_text(report.kept), list_text(report.left))
end

local function copy_all(m, from)
  local mine, names = tensors_of(m)
  local its, its_names = tensors_of(from)
  local report, taken = {copied = {}, kept = {}, left = {}, numbers = 0}, {}
  for _, name in ipairs(names) do
    local t, s = mine[name], its[name]
    local fits = s and same_shape(t, s)
    local list = fits and report.copied or report.kept
    list[#list + 1] = name
    if fits then
      engine.copy(t, s)
      taken[name], report.numbers = true, report.numbers + t.size
    end
  end
  for _, name in ipairs(its_names) do
    if not taken[name] then report.left[#report.left + 1] = name end
  end
  return report
end

--- copy.from(m, source) -> {copied=, kept=, left=, numbers=}: names; said in a line as well.
function copy.from(m, from)
  check(m, from)
  local report = from:_quietly(copy_all, m, from)
  if #report.copied == 0 then
    fail("no tensor of model.%s has the name and the shape of one of model.%s: %s", m.family,
      from.family, list_text(report.kept))
  end
  m._fresh = false
  engine.event("copy_from", "note", text_of(report))
  return setmetatable(report, {__tostring = text_of})
end

-- ---- a model beside another ----

-- Equal values in both lists; false: they are not of the same shapes.
local function same_values(to, from)
  for name, t in pairs(from) do
    if not to[name] or not same_shape(to[name], t) then return false end
  end
  for name, t in pairs(from) do engine.copy(to[name], t) end
  return true
end

local function copy_values(m, from)
  local mine, its = tensors_of(m), tensors_of(from)
  return same_values(mine, its) and same_values(m.inputs, from.inputs)
end

--- copy.twin(m, make) -> what make() gives, with all that m has at this moment, between two steps
-- of its run; nil where these are not the same tensors.
function copy.twin(m, make)
  local twin = make()
  if not m:_quietly(copy_values, twin, m) then return nil end
  for _, name in ipairs {"tokenizer", "_assumed", "_objective", "_languages", "_chosen",
                           "_rules"} do
    twin[name] = m[name]
  end
  twin._steps_done, twin._fresh = m:_steps(), false
  return twin
end

return copy
