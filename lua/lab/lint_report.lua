-- What lint gives: a list of findings, which prints itself as a report, or is one object of JSON a
-- line.

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"
local report = {}

local List = {__name = "lint"}

local function wrapped(indent, label, text)
  local width, lines, line = engine.columns() - 1, {}, indent .. label
  local hang = (" "):rep(#indent + #label)
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > width and line ~= hang then
      lines[#lines + 1] = line
      line = hang
    end
    line = line .. (line:sub(-1) == " " and "" or " ") .. word
  end
  lines[#lines + 1] = line
  return lines
end

local Finding = {__name = "fault", __index = {}}

function Finding.__tostring(f)
  return engine.clean(("%s%s: %s; %s"):format(f.place and f.place .. ", " or "", f.fault, f.what,
    f.evidence))
end

local function one_line(t) return (json.text(t):gsub("\n%s*", " ")) end

--- Of the command: a line of JSON.
function Finding.__index:json()
  return one_line {event = "lint", fault = self.fault, layer = self.layer, what = self.what,
                   evidence = self.evidence, cost = self.cost, advice = self.advice}
end

List.__index = {json = function(list)
  local left = #list.left > 0 and table.move(list.left, 1, #list.left, 1, {}) or json.empty_list
  return one_line {event = "linted", found = #list, looked = list.looked, left = left}
end}

local function add_all(to, list) table.move(list, 1, #list, #to + 1, to) end

function List.__tostring(list)
  local lines = {#list == 0 and ("lint: nothing found, of %d faults"):format(list.looked)
    or ("lint: %d found"):format(#list)}
  for _, f in ipairs(list) do
    add_all(lines, wrapped("  ", ("%s%s:"):format(f.place and f.place .. ", " or "", f.fault),
      f.what))
    add_all(lines, wrapped("    ", "seen:   ", f.evidence))
    add_all(lines, wrapped("    ", "costs:  ", f.cost))
    add_all(lines, wrapped("    ", "change: ", f.advice))
  end
  if #list.left > 0 then
    add_all(lines, wrapped("  ", "not looked at: ", table.concat(list.left, "; ")))
  end
  return engine.clean(table.concat(lines, "\n"))
end

-- "id, id: why" of each reason.
function report.reasons(left)
  local order, by = {}, {}
  for _, one in ipairs(left) do
    if not by[one.why] then
      by[one.why] = {}
      order[#order + 1] = one.why
    end
    table.insert(by[one.why], one.id)
  end
  local out = {}
  for i, why in ipairs(order) do out[i] = table.concat(by[why], ", ") .. ": " .. why end
  return out
end

--- A finding of these fields; a list of them.
function report.finding(fields) return setmetatable(fields, Finding) end
function report.list(list) return setmetatable(list, List) end

return report
