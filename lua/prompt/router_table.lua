-- How routers() is printed: a row of columns for each router, and under it what it does, in lines
-- that fit the terminal.

local engine = require "switchyard.engine"
local help = require "switchyard.help.help"
local show = require "switchyard.prompt.show"

local router_table = {}

local HEAD = {"router", "experts", "future", "balance", "paper"}
local LEAST, MOST = 40, 100 -- columns of a line
local SHORT = 20 -- of what is cut: "aux=0.01 scope=group", "Lepikhin et al. 2020"

local LEGEND = "experts: of a token, top_k as the model says, * where their number varies; future: "
  .. "whether a token's experts go by later ones wherever it is used. ?name tells all of one, "
  .. "with the defaults of its options and those of its paper."

-- What stands in the columns of a router; experts: K by default, * where it varies.
local function cells_of(r)
  return {r.name, (r.top_k or "top_k") .. (r.varies and "*" or ""), r.causal and "no" or "yes",
          r.balance == "" and "-" or r.balance, r.source == "" and "-" or r.source}
end

local function widths_of(rows, room)
  local widths = {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do widths[c] = math.max(widths[c] or 0, utf8.len(cell) or #cell) end
  end
  for c = 4, 5 do -- balance, then paper are cut where there is no room: ?name has them whole
    local sum = 2 * (#widths - 1)
    for _, w in ipairs(widths) do sum = sum + w end
    widths[c] = math.max(math.min(widths[c], SHORT), widths[c] - math.max(0, sum - room))
  end
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
    if r.rule ~= "" then lines[#lines + 1] = help.wrap(r.rule, "    ", room - 4) end
  end
  lines[#lines + 1] = help.wrap(LEGEND, "", room)
  return table.concat(lines, "\n")
end

return router_table
