local function map(f, xs)
  local out = {}
  for i = 1, #xs do out[i] = f(xs[i]) end
  return out
end

local function filter(f, xs)
  local out = {}
  for i = 1, #xs do
    if f(xs[i]) then out[#out + 1] = xs[i] end
  end
  return out
end

local function fold(f, acc, xs)
  for i = 1, #xs do acc = f(acc, xs[i]) end
  return acc
end

local function range(n)
  local out = {}
  for i = 0, n - 1 do out[i + 1] = i end
  return out
end

function tick()
  local doubled = map(function(x) return x * 2 end, range(10000))
  local kept = filter(function(x) return x % 3 == 0 end, doubled)
  return fold(function(a, b) return a + b end, 0, kept)
end
