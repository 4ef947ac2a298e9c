-- How routers() is printed: a row of columns for each router, and under it what it does, its
-- defaults and those of its paper, in lines that fit the terminal.

local engine = require "switchyard.engine"
local help = require "switchyard.help.help"
local show = require "switchyard.prompt.show"

local router_table = {}

local HEAD = {"router", "experts", "future", "source"}
local LEAST, MOST = 40, 100 -- columns of a line
local SHORT = 20 -- of a source that is cut

local LEGEND = "experts: of a token, top_k as the model says, * where their number varies; future: "
  .. "whether a token's experts go by later ones wherever it is used. Defaults are in the "
  .. "convention of this program, in which shares sum to 1 and layers are added. ?name tells all "
  .. "of one."

-- What stands in the columns of a router; experts: K by default, * where it varies.
local function cells_of(r)
  return {r.name, (r.top_k or "top_k") .. (r.varies and "*" or ""), r.causal and "no" or "yes",
          r.source == "" and "-" or r.source}
end

-- What stands under them.
local function below(r)
  local out = {r.rule}
  if r.defaults ~= "" then out[#out + 1] = "defaults: " .. r.defaults end
  if r.paper ~= "" then out[#out + 1] = "in the paper: " .. r.paper end
  return out
end

local function widths_of(rows, room)
  local widths = {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do widths[c] = math.max(widths[c] or 0, utf8.len(cell) or #cell) end
  end
  local sum = 2 * (#widths - 1)
  for _, w in ipairs(widths) do sum = sum + w end
  widths[4] = math.max(math.min(widths[4], SHORT), widths[4] - math.max(0, sum - room))
  return widths
end

local function line_of(row, widths)
  local out = {}
  for c, cell in ipairs(row) do
    cell = show.clip(cell, widths[c])
    out[c] = cell .. (" "):rep(widths[c] - (utf8.len(cell) or #cell))
  end
  return (table.concat(out, "  "):gsub("%s+$", ""))
end

--- The text of the list that routers() gives.
function router_table.text(list)
  local room = math.max(LEAST, math.min(MOST, engine.columns())) - 1
  local rows = {HEAD}
  for i, r in ipairs(list) do rows[i + 1] = cells_of(r) end
  local widths = widths_of(rows, room)
  local lines = {line_of(HEAD, widths)}
  for i, r in ipairs(list) do
    lines[#lines + 1] = line_of(rows[i + 1], widths)
    for _, text in ipairs(below(r)) do
      lines[#lines + 1] = text ~= "" and help.wrap(text, "    ", room - 4) or nil
    end
  end
  lines[#lines + 1] = help.wrap(LEGEND, "", room)
  return table.concat(lines, "\n")
end

return router_table
