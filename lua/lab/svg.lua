-- Pictures as SVG, written here: line charts side by side, and heatmaps.  They return a text.
--
--     svg.charts{title = "...", panels = {{x = "tokens", y = "nats", lines = {
--       {label = "switch", points = {{x, y}, ...}, band = {{x, low, high}, ...}}}}}}
--     svg.heatmap{title = "...", rows = {"a"}, columns = {"1"}, values = {{0.5}}, unit = "nats"}
--
--  1. Lines of the same label have the same colour and dashes in all panels; the legend stands
--     once, below.  Colours are those of Okabe and Ito, which who sees few colours tells apart;
--     behind the seventh they come again with dashes.
--  2. It is readable on a light and on a dark ground: it brings its own, as the reader's system
--     says.
--  3. What is no number is left out of a line, which is broken there, and an empty cell of a
--     heatmap is hatched; what is not positive has no place on a logarithmic axis.

local svg = {}

local COLOURS = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C"}
local DASHES = {"", "6 3", "2 3", "9 3 2 3"}
local STYLE = [[
<style>
text{font:11px sans-serif;fill:#222} .t{font-size:13px;font-weight:bold} .g{stroke:#ddd}
.a{stroke:#444;fill:none} .bg{fill:#fff} .l{fill:none;stroke-width:1.6}
@media (prefers-color-scheme:dark){text{fill:#ddd} .g{stroke:#3a3a3a} .a{stroke:#aaa}
.bg{fill:#181818}}
</style>
]]
local LEFT, RIGHT, TOP, BOTTOM = 58, 14, 40, 42 -- around what is drawn
local LEGEND_ROW, LEGEND_WIDTH = 18, 190

local function is_number(v) return type(v) == "number" and v == v and math.abs(v) < math.huge end

-- As text and as the value of an attribute; control characters have no place in XML.
local function escaped(s)
  s = tostring(s):gsub("[%z\1-\31\127]", " ")
  if not utf8.len(s) then s = s:gsub("[\128-\255]", "?") end
  return (s:gsub("[&<>\"']", {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
                              ["'"] = "&#39;"}))
end

local function put(out, format, ...) out[#out + 1] = format:format(...) end

local function text(out, x, y, anchor, s, class)
  put(out, '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>', x, y, anchor,
    class and (' class="%s"'):format(class) or "", escaped(s))
end

-- ---- axes ----

-- A step of 1, 2 or 5 times a power of ten of which `most` or fewer fit into a span.
local function tick_step(span, most)
  local step = 10.0 ^ math.floor(math.log(span / most, 10))
  for _, by in ipairs {1, 2, 5, 10} do
    if span / (step * by) <= most then return step * by end
  end
end

--- Values at ticks from a to b: at steps of 1, 2 or 5, or, on a logarithmic axis, at decades with 2
-- and 5 where those are few.
function svg.ticks(a, b, most, log)
  local list = {}
  if log then
    local first, last = math.floor(math.log(a, 10)), math.ceil(math.log(b, 10))
    local each = math.max(1, math.ceil((last - first) / most))
    for d = first, last, each do
      for _, by in ipairs(last - first <= most // 3 and {1, 2, 5} or {1}) do
        local v = by * 10.0 ^ d
        if v >= a * (1 - 1e-9) and v <= b * (1 + 1e-9) then list[#list + 1] = v end
      end
    end
    if #list > 1 then return list end
    list = {}
  end
  local step = tick_step(b - a, most)
  for i = math.ceil(a / step - 1e-9), math.floor(b / step + 1e-9) do list[#list + 1] = i * step end
  return list
end

local UNITS = {{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}

--- A value at a tick: 20k, 1.5M, 0.02
function svg.tick_text(v)
  for _, unit in ipairs(UNITS) do
    if math.abs(v) >= unit[1] then return ("%.4g"):format(v / unit[1]) .. unit[2] end
  end
  return (("%.4g"):format(v):gsub("e([+-])0*", "e%1"))
end

-- {from, to, at = function(v) -> 0..1} of all values; nil: there is none.
local function axis(values, log)
  local a, b = math.huge, -math.huge
  for _, v in ipairs(values) do
    if is_number(v) and (not log or v > 0) then a, b = math.min(a, v), math.max(b, v) end
  end
  if a > b then return nil end
  if a == b then -- one value is in the midst
    local by = a == 0 and 1 or math.abs(a) * 0.1
    a, b = a - by, b + by
  end
  local function at(v)
    if log then return math.log(v / a) / math.log(b / a) end
    return (v - a) / (b - a)
  end
  return {a, b, at = at}
end

-- ---- line charts ----

local function values_of(panel, column)
  local list = {}
  for _, line in ipairs(panel.lines) do
    for _, p in ipairs(line.points) do list[#list + 1] = p[column] end
    for _, p in ipairs(line.band or {}) do
      list[#list + 1] = p[column]
      if column == 2 then list[#list + 1] = p[3] end
    end
  end
  return list
end

-- Labels in the order in which they are first met -> how each is drawn.
local function looks_of(panels)
  local looks, order = {}, {}
  for _, panel in ipairs(panels) do
    for _, line in ipairs(panel.lines) do
      if not looks[line.label] then
        local i = #order
        local dash = DASHES[i // #COLOURS % #DASHES + 1]
        looks[line.label] = {colour = COLOURS[i % #COLOURS + 1],
                             dash = dash ~= "" and (' stroke-dasharray="%s"'):format(dash) or ""}
        order[i + 1] = line.label
      end
    end
  end
  return looks, order
end

local function grid_line(out, x1, y1, x2, y2)
  put(out, '<line class="g" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>', x1, y1, x2, y2)
end

local function draw_ticks(out, panel, box, xs, ys)
  for _, v in ipairs(svg.ticks(xs[1], xs[2], math.max(2, box.w // 70), panel.log_x)) do
    local x = box.x + xs.at(v) * box.w
    grid_line(out, x, box.y, x, box.y + box.h)
    text(out, x, box.y + box.h + 15, "middle", svg.tick_text(v))
  end
  for _, v in ipairs(svg.ticks(ys[1], ys[2], math.max(2, box.h // 40), panel.log_y)) do
    local y = box.y + (1 - ys.at(v)) * box.h
    grid_line(out, box.x, y, box.x + box.w, y)
    text(out, box.x - 6, y + 4, "end", svg.tick_text(v))
  end
end

-- Points as they are drawn, in pieces without a gap: lists of "x,y".
local function pieces_of(panel, points, box, xs, ys)
  local pieces, piece = {}, nil
  for _, p in ipairs(points) do
    local x, y = p[1], p[2]
    local good = is_number(x) and is_number(y) and (not panel.log_x or x > 0)
      and (not panel.log_y or y > 0)
    if good and not piece then
      piece = {}
      pieces[#pieces + 1] = piece
    end
    if good then
      piece[#piece + 1] = ("%.1f,%.1f"):format(box.x + xs.at(x) * box.w,
        box.y + (1 - ys.at(y)) * box.h)
    else
      piece = nil
    end
  end
  return pieces
end

local function draw_band(out, panel, line, look, box, xs, ys)
  local around, n = {}, #line.band
  for i, p in ipairs(line.band) do
    around[i], around[2 * n + 1 - i] = {p[1], p[2]}, {p[1], p[3]}
  end
  for _, piece in ipairs(pieces_of(panel, around, box, xs, ys)) do
    put(out, '<polygon points="%s" fill="%s" fill-opacity="0.15"/>', table.concat(piece, " "),
      look.colour)
  end
end

local function draw_line(out, panel, line, look, box, xs, ys)
  if line.band then draw_band(out, panel, line, look, box, xs, ys) end
  for _, piece in ipairs(pieces_of(panel, line.points, box, xs, ys)) do
    if #piece > 1 then
      put(out, '<polyline class="l" points="%s" stroke="%s"%s/>', table.concat(piece, " "),
        look.colour, look.dash)
    end
    local x, y = piece[#piece]:match "(.*),(.*)"
    put(out, '<circle cx="%s" cy="%s" r="2.5" fill="%s"/>', x, y, look.colour)
  end
end

local function draw_panel(out, panel, box, looks)
  local xs, ys = axis(values_of(panel, 1), panel.log_x), axis(values_of(panel, 2), panel.log_y)
  if xs and ys then draw_ticks(out, panel, box, xs, ys) end
  put(out, '<rect class="a" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>', box.x, box.y, box.w,
    box.h)
  text(out, box.x + box.w / 2, box.y + box.h + 32, "middle", panel.x)
  text(out, box.x, box.y - 6, "start", panel.y)
  if not xs or not ys then
    return text(out, box.x + box.w / 2, box.y + box.h / 2, "middle", "no values")
  end
  for _, line in ipairs(panel.lines) do
    draw_line(out, panel, line, looks[line.label], box, xs, ys)
  end
end

local function draw_legend(out, looks, order, width, y)
  local columns = math.max(1, (width - LEFT) // LEGEND_WIDTH)
  for i, label in ipairs(order) do
    local x, at = LEFT + (i - 1) % columns * LEGEND_WIDTH, y + (i - 1) // columns * LEGEND_ROW
    put(out, '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2.5"%s/>', x,
      at - 4, x + 24, at - 4, looks[label].colour, looks[label].dash)
    text(out, x + 30, at, "start", label)
  end
  return (#order + columns - 1) // columns * LEGEND_ROW
end

local function whole(out, width, height, title)
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
    .. 'viewBox="0 0 %d %d" role="img">\n'):format(width, height, width, height)
  local top = {}
  put(top, "<title>%s</title>", escaped(title or ""))
  put(top, '<rect class="bg" x="0" y="0" width="%d" height="%d"/>', width, height)
  if title then text(top, 12, 18, "start", title, "t") end
  return head .. STYLE .. table.concat(top, "\n") .. "\n" .. table.concat(out, "\n") .. "\n</svg>\n"
end

--- svg.charts{title=, panels={{x=, y=, log_x=, log_y=, lines={{label=, points=, band=}}}}, width=,
-- height=} -> text: panels side by side, of that width and height each
function svg.charts(o)
  local w, h = o.width or 380, o.height or 300
  local looks, order = looks_of(o.panels)
  local width, out = #o.panels * w, {}
  for i, panel in ipairs(o.panels) do
    draw_panel(out, panel, {x = (i - 1) * w + LEFT, y = TOP, w = w - LEFT - RIGHT,
                            h = h - TOP - BOTTOM}, looks)
  end
  local legend = draw_legend(out, looks, order, width, h + 12)
  return whole(out, width, h + legend + 8, o.title)
end

-- ---- heatmaps ----

-- Cividis, at eight points.  Nuñez et al. 2018
local CIVIDIS = {{0, 34, 78}, {33, 59, 110}, {76, 85, 108}, {108, 110, 114}, {139, 138, 119},
                 {176, 165, 107}, {217, 196, 83}, {254, 232, 56}}

-- The colour of a share from 0 to 1, and that of a text on it.
local function shade(share)
  local at = math.max(0, math.min(1, share)) * (#CIVIDIS - 1)
  local i = math.min(#CIVIDIS - 1, math.floor(at) + 1)
  local part, rgb = at - (i - 1), {}
  for c = 1, 3 do
    rgb[c] = math.floor(CIVIDIS[i][c] + (CIVIDIS[i + 1][c] - CIVIDIS[i][c]) * part + 0.5)
  end
  return ("#%02x%02x%02x"):format(rgb[1], rgb[2], rgb[3]), share > 0.5 and "#000" or "#fff"
end

local CELL_W, CELL_H = 46, 22

local function draw_cell(out, x, y, v, scale, format)
  if not is_number(v) then
    put(out, '<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="url(#none)"/>', x, y, CELL_W,
      CELL_H)
    return
  end
  local fill, ink = shade(scale.at(v))
  put(out, '<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="%s"/>', x, y, CELL_W, CELL_H, fill)
  put(out, '<text x="%.1f" y="%.1f" text-anchor="middle" style="fill:%s">%s</text>', x + CELL_W / 2,
    y + 15, ink, escaped(format:format(v)))
end

-- One heatmap below y; returns where it ends at the right and at the bottom.
local function draw_map(out, o, y)
  local numbers, wide = {}, 0
  local function add(v)
    if is_number(v) then numbers[#numbers + 1] = v end
  end
  add(o.least)
  add(o.most)
  for i, row in ipairs(o.rows) do
    wide = math.max(wide, utf8.len(tostring(row)) or #tostring(row))
    for j = 1, #o.columns do add(o.values[i] and o.values[i][j]) end
  end
  local scale = axis(numbers) or {at = function() return 0 end}
  local left, top = 16 + 7 * wide, y + TOP
  for j, column in ipairs(o.columns) do
    text(out, left + (j - 0.5) * CELL_W, top - 4, "middle", column)
  end
  for i, row in ipairs(o.rows) do
    local at = top + (i - 1) * CELL_H
    text(out, left - 6, at + 15, "end", row)
    for j = 1, #o.columns do
      local v = o.values[i] and o.values[i][j]
      draw_cell(out, left + (j - 1) * CELL_W, at, v, scale, o.format or "%.2f")
    end
  end
  local bottom = top + #o.rows * CELL_H
  if o.unit then text(out, left, bottom + 16, "start", o.unit) end
  return math.max(left + #o.columns * CELL_W + 12, 7 * #(o.title or "") + 24), bottom + 26
end

--- svg.heatmap{title=, rows=labels, columns=labels, values={{...}, ...}, unit=, format="%.2f",
-- least=, most=} -> text: each cell with its value
function svg.heatmap(o) return svg.heatmaps{o} end

--- svg.heatmaps{o, ...} -> text: several, one below the other
function svg.heatmaps(list)
  local out, width, y = {}, 0, 0
  put(out, '<defs><pattern id="none" width="6" height="6" patternUnits="userSpaceOnUse">'
    .. '<path d="M0,6L6,0" stroke="#888"/></pattern></defs>')
  for i, o in ipairs(list) do
    if i > 1 and o.title then text(out, 12, y + 18, "start", o.title, "t") end
    local right, bottom = draw_map(out, o, y)
    width, y = math.max(width, right), bottom
  end
  return whole(out, width, y, list[1].title)
end

return svg
