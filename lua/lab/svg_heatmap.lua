-- Heatmaps as SVG: a drawing that needs nothing of others, dark where a value is high.

local svg = {}

local CELL, TOP, GAP, CHARACTER = 30, 44, 18, 7.2 -- pixels
local LOW, HIGH = {247, 251, 255}, {8, 48, 107} -- colours of the ends

local NAMED = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}

-- A text as XML may have it: no control characters, no invalid UTF-8.
local function escaped(s)
  s = utf8.len(s) and s or s:gsub("[\x80-\xff]", "?")
  return (s:gsub("%c", " "):gsub('[&<>"]', NAMED))
end

local function share(v, low, high)
  if not v or v ~= v or high <= low then return 0 end
  return math.max(0, math.min(1, (v - low) / (high - low)))
end

local function colour(at)
  local c = {}
  for i = 1, 3 do c[i] = math.floor(LOW[i] + (HIGH[i] - LOW[i]) * at + 0.5) end
  return ("#%02x%02x%02x"):format(c[1], c[2], c[3])
end

local function text(out, x, y, anchor, size, fill, s)
  out[#out + 1] = ('<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>')
    :format(x, y, anchor, size, fill, escaped(s))
end

local function names_width(h)
  local widest = 0
  for _, name in ipairs(h.rows) do widest = math.max(widest, utf8.len(name) or #name) end
  return 12 + widest * CHARACTER
end

local function draw(out, h, y)
  local left = names_width(h)
  text(out, 6, y + 16, "start", 13, "#000000", h.title)
  for j, name in ipairs(h.columns) do
    text(out, left + (j - 0.5) * CELL, y + TOP - 5, "middle", 10, "#444444", name)
  end
  for i, row in ipairs(h.values) do
    local top = y + TOP + (i - 1) * CELL
    text(out, left - 6, top + CELL / 2 + 4, "end", 11, "#000000", h.rows[i])
    for j = 1, #h.columns do
      local v = row[j]
      local at, x = share(v, h.low, h.high), left + (j - 1) * CELL
      local none = not v or v ~= v
      out[#out + 1] = ('<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="%s"/>'):format(x, top,
        CELL - 1, CELL - 1, none and "#dddddd" or colour(at))
      text(out, x + CELL / 2, top + CELL / 2 + 4, "middle", 9, at > 0.5 and "#ffffff" or "#000000",
        none and "-" or ("%." .. (h.decimals or 2) .. "f"):format(v))
    end
  end
  return left + #h.columns * CELL, y + TOP + #h.rows * CELL
end

--- svg.text(list of {title=, rows=, columns=, values=, low=, high=, decimals=}) -> SVG, one below
-- the other.
function svg.text(list)
  local out, width, y = {}, 0, 6
  for _, h in ipairs(list) do
    local right, bottom = draw(out, h, y)
    width, y = math.max(width, right, 12 + #h.title * CHARACTER), bottom + GAP
  end
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" '
    .. 'font-family="sans-serif">'):format(width + 6, y)
  return head .. '\n<rect width="100%" height="100%" fill="#ffffff"/>\n' .. table.concat(out, "\n")
    .. "\n</svg>\n"
end

return svg
