// How a block's numbers are read from and written to memory.
enum { AXES = 8, INDEX_ERROR = 1, BOUNDS_ERROR = 2, SIZE_ERROR = 3 };
enum Flag { KEEP = 1, ADD = 2, DIRECT = 4, IOTA = 8 };
// A row of a block is one number, lies at a stride, is one number repeated, contiguous, made of runs of the same length
// (contiguous or one number repeated), or anything else.
enum Kind { FILL, LINEAR, REPEAT, ROWS, RUNS, TABLE };

// What the instructions of a run share.
struct Frame {
  const I *code, *sizes;
  char* const* buffers;
  const I* lengths;
  char* scratch;
  I threads;
  I error, instruction, value, lowest, highest;
};

// A load or store of a loop. Its element at point (c_0, c_1, ...) is offset + sum s[i] c_i, plus step times the number
// in index at index_offset + sum is[i] c_i. A block consists of some rows, along one axis, of P points each.
struct Access {
  char* data;
  const I* index;
  I type, value, flags, offset, index_offset, step, lowest, highest;
  I s[AXES], is[AXES];
  Kind kind;
  bool scattered, reduces;
  I rs, irs, stride, runs, run; // runs of a row, and points of a run
  I *table, *index_table;
  int inner;
  I in[AXES], ins[AXES], inis[AXES];
};

// An access in the hands of one thread: where the last block began, and sums that are not yet in memory.
struct Live {
  I base, rows;
  double* sum;
  I count;
};

struct Block {
  I rows, width;
};

static void wrong_index(Frame& f, I instruction, const Access& x, I value) {
#pragma omp critical(equipot_program_error)
  if (!f.error) {
    f.instruction = instruction, f.value = value, f.lowest = x.lowest, f.highest = x.highest;
    __atomic_store_n(&f.error, I(INDEX_ERROR), __ATOMIC_RELAXED);
  }
}

template <class T, int N> INLINE void copy_rows(T* d, const T* a, I rows, I rs) {
  for (I r = 0; r < rows; r++)
    for (int p = 0; p < N; p++) d[r * N + p] = a[r * rs + p];
}
template <class T, int N> INLINE void repeat_rows(T* d, const T* a, I rows, I rs) {
  for (I r = 0; r < rows; r++)
    for (int p = 0; p < N; p++) d[r * N + p] = a[r * rs];
}
#define SMALL_WIDTHS(width, call) \
  switch (width) { \
    case 3: call(3) break; \
    case 8: call(8) break; \
    default:; \
  }

typedef signed char Bytes __attribute__((vector_size(BYTES)));
INLINE void move_vector(char* d, const char* a) {
  Bytes v;
  __builtin_memcpy(&v, a, BYTES);
  __builtin_memcpy(d, &v, BYTES);
}
template <class T> INLINE void copy(T* d0, const T* a0, I n) {
  const I bytes = n * I(sizeof(T));
  char* d = (char*)d0;
  const char* a = (const char*)a0;
  if (bytes < BYTES) {
    for (I i = 0; i < n; i++) d0[i] = a0[i];
    return;
  }
  I i = 0;
  for (; i + BYTES <= bytes; i += BYTES) move_vector(d + i, a + i);
  if (i < bytes) move_vector(d + bytes - BYTES, a + bytes - BYTES);
}
template <class T> INLINE void fill(T* d, T x, I n) {
  enum { W = BYTES / sizeof(T) };
  if (n < W) {
    for (I i = 0; i < n; i++) d[i] = x;
    return;
  }
  typedef T V __attribute__((vector_size(BYTES)));
  const V v = V{} + x;
  I i = 0;
  for (; i + W <= n; i += W) __builtin_memcpy(d + i, &v, BYTES);
  if (i < n) __builtin_memcpy(d + n - W, &v, BYTES);
}
template <class T> static void pack(const Access& x, T* d, const T* a, Block b) {
  const I rows = b.rows, width = b.width, rs = x.rs;
  if (x.kind == FILL) {
    fill(d, a[0], rows * width);
  } else if (x.kind == LINEAR) {
    const I n = rows * width, stride = x.stride;
    for (I i = 0; i < n; i++) d[i] = a[i * stride];
  } else if (x.kind == REPEAT) {
#define CALL(N) return repeat_rows<T, N>(d, a, rows, rs);
    SMALL_WIDTHS(width, CALL)
#undef CALL
    for (I r = 0; r < rows; r++) fill(d + r * width, a[r * rs], width);
  } else if (x.kind == ROWS) {
#define CALL(N) return copy_rows<T, N>(d, a, rows, rs);
    SMALL_WIDTHS(width, CALL)
#undef CALL
    for (I r = 0; r < rows; r++) copy(d + r * width, a + r * rs, width);
  } else if (x.kind == RUNS) {
    const I run = x.run;
    for (I r = 0; r < rows; r++)
      for (I q = 0; q < x.runs; q++, d += run) {
        const T* from = a + r * rs + x.table[q];
        if (x.stride) copy(d, from, run);
        else fill(d, from[0], run);
      }
  } else {
    const I* table = x.table;
    for (I r = 0; r < rows; r++)
      for (I p = 0; p < width; p++) d[r * width + p] = a[r * rs + table[p]];
  }
}

// Gathers; false if an index is wrong.
template <class T> static bool gather(Frame& f, I instruction, const Access& x, T* d, I base, I index_base, Block b) {
  const T* data = (const T*)x.data;
  const I* index = x.index + index_base;
  const I width = b.width;
  for (I r = 0; r < b.rows; r++, d += width) {
    if (x.scattered) {
      for (I p = 0; p < width; p++) {
        const I i = index[r * x.irs + x.index_table[p]];
        if (i < x.lowest || i > x.highest) return wrong_index(f, instruction, x, i), false;
        d[p] = data[base + r * x.rs + x.table[p] + i * x.step];
      }
      continue;
    }
    const I i = index[r * x.irs];
    if (i < x.lowest || i > x.highest) return wrong_index(f, instruction, x, i), false;
    const T* a = data + base + r * x.rs + i * x.step;
    if (x.kind == FILL || x.kind == REPEAT || width == 1) fill(d, a[0], width);
    else if (x.kind == TABLE) for (I p = 0; p < width; p++) d[p] = a[x.table[p]];
    else copy(d, a, width);
  }
  return true;
}

template <class T> static void unpack(const Access& x, const T* v, T* d, Block b) {
  const I rows = b.rows, width = b.width, rs = x.rs;
  if (x.kind == LINEAR) {
    const I n = rows * width, stride = x.stride;
    if (stride == 1) __builtin_memcpy(d, v, n * sizeof(T));
    else for (I i = 0; i < n; i++) d[i * stride] = v[i];
  } else if (x.kind == ROWS) {
    for (I r = 0; r < rows; r++) copy(d + r * rs, v + r * width, width);
  } else if (x.kind == RUNS) {
    for (I r = 0; r < rows; r++)
      for (I q = 0; q < x.runs; q++, v += x.run) copy(d + r * rs + x.table[q], v, x.run);
  } else {
    for (I r = 0; r < rows; r++)
      for (I p = 0; p < width; p++) d[r * rs + x.table[p]] = v[r * width + p];
  }
}
template <class T> static bool put_rows(Frame& f, I instruction, const Access& x, const T* v, I base, I index_base, Block b) {
  T* data = (T*)x.data;
  const I* index = x.index + index_base;
  for (I r = 0; r < b.rows; r++)
    for (I p = 0; p < b.width; p++) {
      const I i = index[r * x.irs + x.index_table[p]];
      if (i < x.lowest || i > x.highest) return wrong_index(f, instruction, x, i), false;
      data[base + r * x.rs + x.table[p] + i * x.step] = v[r * b.width + p];
    }
  return true;
}

// Sums of a block over one of its axes: [outer, n, width] to [outer, width], in float or double as the numbers are.
template <class T> INLINE T total(const T* a, I n) {
  enum { LANES = 16 };
  if (n < 2 * LANES) {
    T s = a[0];
    for (I i = 1; i < n; i++) s += a[i];
    return s;
  }
  T lanes[LANES];
  for (int l = 0; l < LANES; l++) lanes[l] = a[l];
  I i = LANES;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lanes[l] += a[i + l];
  for (int l = 0; i < n; i++, l++) lanes[l] += a[i];
  for (int half = LANES / 2; half; half /= 2)
    for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
  return lanes[0];
}
template <class T, int N> INLINE void row_sums(T* d, const T* a, I outer) {
  for (I o = 0; o < outer; o++) {
    T s = a[o * N];
    for (int i = 1; i < N; i++) s += a[o * N + i];
    d[o] = s;
  }
}
template <class T> static void reduce(T* d, const T* a, I outer, I n, I width) {
  if (width == 1) {
#define CALL(N) return row_sums<T, N>(d, a, outer);
    SMALL_WIDTHS(n, CALL)
#undef CALL
    for (I o = 0; o < outer; o++) d[o] = total(a + o * n, n);
    return;
  }
  for (I o = 0; o < outer; o++, d += width, a += n * width) {
    for (I p = 0; p < width; p++) d[p] = a[p] + (n > 1 ? a[width + p] : T(0));
    for (I i = 2; i < n; i++)
      for (I p = 0; p < width; p++) d[p] += a[i * width + p];
  }
}

// Adds numbers, contiguous along axes of the given sizes and strides, to memory.
template <class T, class S>
static bool add_to(Frame& f, I instruction, const Access& x, const S* v, I base, I index_base, int axes, const I* n, const I* s, const I* is) {
  T* data = (T*)x.data;
  I count[AXES + 1] = {};
  const int last = axes - 1;
  for (;;) {
    I to = base, from = index_base;
    for (int j = 0; j < last; j++) to += count[j] * s[j], from += count[j] * is[j];
    const I m = axes ? n[last] : 1, stride = axes ? s[last] : 0, index_stride = axes ? is[last] : 0;
    if (x.index && index_stride) {
      for (I i = 0; i < m; i++) {
        const I row = x.index[from + i * index_stride];
        if (row < x.lowest || row > x.highest) return wrong_index(f, instruction, x, row), false;
        T& d = data[to + i * stride + row * x.step];
        d = T(d + v[i]);
      }
    } else {
      if (x.index) {
        const I row = x.index[from];
        if (row < x.lowest || row > x.highest) return wrong_index(f, instruction, x, row), false;
        to += row * x.step;
      }
      T* d = data + to;
      if (stride == 1)
        for (I i = 0; i < m; i++) d[i] = T(d[i] + v[i]);
      else
        for (I i = 0; i < m; i++) d[i * stride] = T(d[i * stride] + v[i]);
    }
    v += m;
    int j = last - 1;
    while (j >= 0 && ++count[j] == n[j]) count[j--] = 0;
    if (j < 0) return true;
  }
}

template <class T> struct Wide { typedef double A; };
template <> struct Wide<I> { typedef I A; };

// The axes of a block along which an added store's element changes.
INLINE int block_axes(const Access& x, I rows, I* n, I* s, I* is) {
  int axes = 0;
  if (x.rs || x.irs) n[axes] = rows, s[axes] = x.rs, is[axes++] = x.irs;
  for (int j = 0; j < x.inner; j++)
    if (x.ins[j] || x.inis[j]) n[axes] = x.in[j], s[axes] = x.ins[j], is[axes++] = x.inis[j];
  return axes;
}
template <class T> static void flush(Frame& f, I instruction, const Access& x, Live& live) {
  if (!live.count) return;
  I n[AXES + 1], s[AXES + 1], is[AXES + 1];
  const int axes = block_axes(x, live.rows, n, s, is);
  add_to<T>(f, instruction, x, (typename Wide<T>::A*)live.sum, live.base, 0, axes, n, s, is);
  live.count = 0;
}
template <class T>
static bool add_block(Frame& f, I instruction, const Access& x, Live& live, const T* v, I base, I index_base, Block b, T* spare) {
  I n[AXES + 1], s[AXES + 1], is[AXES + 1], m = b.rows * b.width;
  // Sum over the block's axes of stride 0, last first.
  I after = 1;
  for (int j = x.inner - 1; j >= -1; j--) {
    const I size = j < 0 ? b.rows : x.in[j];
    const bool zero = j < 0 ? !(x.rs || x.irs) : !(x.ins[j] || x.inis[j]);
    if (zero && size > 1) {
      T* to = v == spare ? spare + m : spare;
      reduce<T>(to, v, m / (size * after), size, after);
      m /= size;
      v = to;
    }
    if (!zero) after *= size;
  }
  const int axes = block_axes(x, b.rows, n, s, is);
  if (!x.reduces) return add_to<T>(f, instruction, x, v, base, index_base, axes, n, s, is);
  typedef typename Wide<T>::A A;
  A* sum = (A*)live.sum;
  if (live.count && (live.base != base || live.count != m)) flush<T>(f, instruction, x, live);
  if (live.count) {
    for (I i = 0; i < m; i++) sum[i] += v[i];
  } else {
    for (I i = 0; i < m; i++) sum[i] = v[i];
    live.base = base, live.rows = b.rows, live.count = m;
  }
  return true;
}
