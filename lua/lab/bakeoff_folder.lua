-- The folder of a bake-off, RUNS/NAME/: bakeoff.json, which says what it is, and a run's directory
-- for each entrant and seed, LABEL-SEED.
--
--  1. bakeoff.json is written before the first run begins, whole or not at all, and is not changed
--     afterwards: {format=, name=, hash=, spec=, steps=}.  steps: of each entrant, for a budget of
--     seconds those that were aimed at.
--  2. A folder whose spec is another is refused, and nothing in it is touched; so is one that has
--     runs and no bakeoff.json.

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local folder = {}

local FORMAT = 1
local FIELDS = {format = "integer", name = "string", hash = "string", spec = "table",
                steps = "table"}

local function fail(...) error("bakeoff: " .. string.format(...), 0) end

function folder.path(name) return engine.runs_dir() .. "/" .. name end

local function manifest_path(path) return path .. "/bakeoff.json" end

local function is_there(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local function has_type(v, kind)
  if kind == "integer" then return math.type(v) == "integer" end
  return type(v) == kind
end

-- What is wrong with a manifest, or nil.
local function wrong_with(m)
  if type(m) ~= "table" then return "it holds no object" end
  for name in pairs(m) do
    if not FIELDS[name] then return ("it has a field '%s'"):format(engine.clean(tostring(name))) end
  end
  for name, kind in pairs(FIELDS) do
    if not has_type(m[name], kind) then return ("%s is no %s"):format(name, kind) end
  end
  if m.format ~= FORMAT then
    return ("its format is %d, this program knows %d"):format(m.format, FORMAT)
  end
  if engine.hash(json.text(m.spec)) ~= m.hash then return "its hash is not that of its spec" end
  for _, n in pairs(m.steps) do
    if math.type(n) ~= "integer" or n < 1 or n > 1e12 then return "its steps are no steps" end
  end
end

--- The manifest of a folder; nil: it has none.  Raises for one that is damaged.
function folder.read(path)
  local file = manifest_path(path)
  if not is_there(file) then return nil end
  local text, why = engine.file_read(file)
  local m = text and engine.json(text)
  why = not text and why or wrong_with(m)
  if why then fail("%s: %s", engine.clean(file), engine.clean(why)) end
  return m
end

-- f(name, value) of every value in nested tables, by names with points between.
local function each_value(t, head, f)
  for k, v in pairs(t) do
    local name = head .. tostring(k)
    if type(v) == "table" then each_value(v, name .. ".", f) else f(name, v) end
  end
end

local function number(v)
  return math.type(v) == "float" and ("%.6g"):format(v) or engine.clean(tostring(v))
end

-- Entrants by their labels, so that one more is not a difference of all behind it.
local function by_label(s)
  local out = {}
  for k, v in pairs(s) do out[k] = v end
  out.entrants = {}
  for _, e in ipairs(s.entrants or {}) do out.entrants[tostring(e.label)] = e end
  return out
end

local SHOWN = 3

--- In what two specs differ: "budget.flops is 1e+12, was 1e+11; ...".
function folder.difference(now, was)
  local a, b, names, out = {}, {}, {}, {}
  each_value(by_label(now), "", function(name, v) a[name] = v end)
  each_value(by_label(was), "", function(name, v) b[name] = v end)
  for _, t in ipairs {a, b} do
    for name in pairs(t) do
      if a[name] ~= b[name] and not names[name] then
        names[name], names[#names + 1] = true, name
      end
    end
  end
  table.sort(names)
  for i, name in ipairs(names) do
    if i > SHOWN then
      out[i] = ("and %d more"):format(#names - SHOWN)
      break
    end
    out[i] = ("%s is %s, was %s"):format(engine.clean(name),
      a[name] == nil and "not there" or number(a[name]),
      b[name] == nil and "not there" or number(b[name]))
  end
  return table.concat(out, "; ")
end

--- The steps that the folder of a spec says; nil: there is no such folder yet.  Raises where it is
-- another's.
function folder.steps_of(s)
  local path = folder.path(s.name)
  local m = folder.read(path)
  if m then
    if m.hash == s.hash then return m.steps end
    fail("%s is of another bake-off: %s; take another name, or delete it", engine.clean(path),
      folder.difference(s.plain, m.spec))
  end
  if is_there(path .. "/run.sqlite") or #(engine.store_runs(path) or {}) > 0 then
    fail("%s exists already and is no bake-off's: take another name", engine.clean(path))
  end
end

--- Make the folder of a spec, whose entrants have their steps.
function folder.make(s)
  local path, steps = folder.path(s.name), {}
  for _, e in ipairs(s.entrants) do steps[e.label] = e.steps end
  local ok, why = engine.dir_make(path)
  if ok then
    ok, why = engine.file_write(manifest_path(path), json.text {format = FORMAT, name = s.name,
      hash = s.hash, spec = s.plain, steps = steps} .. "\n")
  end
  if not ok then fail("%s", engine.clean(why)) end
end

return folder
