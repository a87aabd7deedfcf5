// Products of matrices. Those of models have few rows or columns, where a BLAS spends much of its time on copies; here
// only a matrix b whose columns are far apart is copied, panel by panel.
struct Matrix {
  char* data;
  I row, column, batch;
};

// Its end must lie within its buffer.
static bool read_matrix(const Frame& f, const I* w, I rows, I columns, I count, I bytes, Matrix& m) {
  const I offset = f.sizes[w[1]];
  m.row = f.sizes[w[2]], m.column = f.sizes[w[3]], m.batch = f.sizes[w[4]];
  m.data = f.buffers[w[0]] + offset * bytes;
  if (rows == 0 || columns == 0) return true;
  if (m.row < 0 || m.column < 0 || m.batch < 0 || offset < 0) return false;
  return offset + m.row * (rows - 1) + m.column * (columns - 1) + m.batch * (count - 1) < f.lengths[w[0]];
}

enum { TILE = 6, DEPTH = 512, PANEL = BYTES == 64 ? 4 : 2 };

// c[R, columns] = scale a[R, k] b[k, columns] (+ c); b has at least N vectors in each row.
template <class T, int R, int N>
static void tile(const T* a, I ai, I ak, const T* b, I bk, I k, T* c, I ci, T scale, bool add, I columns) {
  TYPES;
  V s[R][N] = {};
  for (I l = 0; l < k; l++, a += ak, b += bk) {
    V y[N];
#pragma GCC unroll 4
    for (int v = 0; v < N; v++) y[v] = get<T>(b + v * C::W);
#pragma GCC unroll 6
    for (int i = 0; i < R; i++) {
      const T x = a[i * ai];
#pragma GCC unroll 4
      for (int v = 0; v < N; v++) s[i][v] += x * y[v];
    }
  }
  if (columns == N * C::W) {
#pragma GCC unroll 6
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int v = 0; v < N; v++) {
        T* to = c + i * ci + v * C::W;
        put<T>(to, add ? get<T>(to) + scale * s[i][v] : scale * s[i][v]);
      }
    return;
  }
  for (int i = 0; i < R; i++) {
    T part[N * C::W];
    __builtin_memcpy(part, s[i], sizeof(part));
    for (I j = 0; j < columns; j++) c[i * ci + j] = add ? c[i * ci + j] + scale * part[j] : scale * part[j];
  }
}
template <class T, int N>
static void panel(const T* a, I ai, I ak, const T* b, I bk, I k, T* c, I ci, T scale, bool add, I m, I columns) {
#define TILES(R) \
  for (; m >= R; m -= R, a += R * ai, c += R * ci) tile<T, R, N>(a, ai, ak, b, bk, k, c, ci, scale, add, columns);
  TILES(6) TILES(3) TILES(1)
#undef TILES
}

// Parts of 16 rows, so that columns that lie along b's memory are read, and rows written, while they are near.
template <class T> static void copy_panel(T* d, I width, const T* b, I row, I column, I rows, I columns) {
  enum { PART = 16 };
  for (I p = 0; p < rows; p += PART) {
    const I end = smaller(p + PART, rows);
    for (I q = 0; q < columns; q++)
      for (I i = p; i < end; i++) d[i * width + q] = b[i * row + q * column];
    for (I q = columns; q < width; q++)
      for (I i = p; i < end; i++) d[i * width + q] = 0;
  }
}

// The product for rows of c that are contiguous; spare holds a panel of b.
template <class T>
static void multiply(const Matrix& a, const Matrix& b, const Matrix& c, I m, I n, I k, I count, T scale, bool add, T* spare) {
  enum { W = Vec<T>::W };
  for (I j = 0; j < n;) {
    const I left = n - j, vectors = left >= PANEL * W ? I(PANEL) : left >= 2 * W ? I(2) : I(1);
    const I columns = smaller(left, vectors * W);
    for (I l = 0; l < k || l == 0; l += DEPTH) {
      const I depth = smaller(k - l, DEPTH);
      const bool copied = b.column != 1 || columns < vectors * W;
      for (I i = 0; i < count; i++) {
        const T* pb = (const T*)b.data + i * b.batch + l * b.row + j * b.column;
        if (copied && (i == 0 || b.batch)) copy_panel(spare, vectors * W, pb, b.row, b.column, depth, columns);
        const T* pa = (const T*)a.data + i * a.batch + l * a.column;
        T* pc = (T*)c.data + i * c.batch + j;
        const T* from = copied ? spare : pb;
        const I bk = copied ? vectors * W : b.row;
        const bool sum = add || l > 0;
        if (vectors == 1) panel<T, 1>(pa, a.row, a.column, from, bk, depth, pc, c.row, scale, sum, m, columns);
        else if (vectors == 2) panel<T, 2>(pa, a.row, a.column, from, bk, depth, pc, c.row, scale, sum, m, columns);
        else panel<T, PANEL>(pa, a.row, a.column, from, bk, depth, pc, c.row, scale, sum, m, columns);
      }
    }
    j += columns;
  }
}

// Where few rows of a meet columns of b that lie along memory, as a's rows do.
template <class T> INLINE T dot(const T* a, const T* b, I n) {
  TYPES;
  V s[2] = {};
  I i = 0;
  for (; i + 2 * C::W <= n; i += 2 * C::W) s[0] += get<T>(a + i) * get<T>(b + i), s[1] += get<T>(a + i + C::W) * get<T>(b + i + C::W);
  for (; i + C::W <= n; i += C::W) s[0] += get<T>(a + i) * get<T>(b + i);
  s[0] += s[1];
  T rest = 0;
  for (; i < n; i++) rest += a[i] * b[i];
  for (int l = 0; l < int(C::W); l++) rest += s[0][l];
  return rest;
}

template <class T>
static void multiply_strided(const Matrix& a, const Matrix& b, const Matrix& c, I m, I n, I k, I count, T scale, bool add) {
  const T *pa = (const T*)a.data, *pb = (const T*)b.data;
  T* pc = (T*)c.data;
  for (I g = 0; g < count; g++, pa += a.batch, pb += b.batch, pc += c.batch)
    for (I i = 0; i < m; i++)
      for (I j = 0; j < n; j++) {
        const T *x = pa + i * a.row, *y = pb + j * b.column;
        T s = 0, &to = pc[i * c.row + j * c.column];
        if (a.column == 1 && b.row == 1) s = dot(x, y, k);
        else for (I l = 0; l < k; l++) s += x[l * a.column] * y[l * b.row];
        to = scale * s + (add ? to : T(0));
      }
}

INLINE Matrix turned(const Matrix& m) { return {m.data, m.column, m.row, m.batch}; }

template <class T> static I run_gemm(const Frame& f, const I* w) {
  I m = f.sizes[w[4]], n = f.sizes[w[5]];
  const I k = f.sizes[w[6]], count = f.sizes[w[7]];
  if (m < 0 || n < 0 || k < 0 || count < 0) return SIZE_ERROR;
  if (!m || !n || !count) return 0;
  Matrix a, b, c;
  if (!read_matrix(f, w + 8, m, k, count, sizeof(T), a) || !read_matrix(f, w + 13, k, n, count, sizeof(T), b) ||
      !read_matrix(f, w + 18, m, n, count, sizeof(T), c))
    return BOUNDS_ERROR;
  double scale;
  __builtin_memcpy(&scale, w + 23, sizeof(scale));
  const bool add = w[24];
  if (c.column != 1 && c.row == 1) {
    const Matrix other = turned(a);
    const I rows = m;
    a = turned(b), b = other, c = turned(c), m = n, n = rows;
  }
  const bool few = m <= 4 && a.column == 1 && b.row == 1 && b.column != 1 && k >= 16;
  if (few || (c.column != 1 && n > 1)) return multiply_strided<T>(a, b, c, m, n, k, count, T(scale), add), 0;
  const I wanted = 2 * m * n * k / 500000 * count, threads = wanted < 2 ? 1 : smaller(f.threads, wanted);
  const bool by_rows = m >= n;
  const I unit = by_rows ? I(TILE) : I(PANEL * Vec<T>::W), units = ((by_rows ? m : n) + unit - 1) / unit;
  const I bytes = DEPTH * PANEL * BYTES;
#pragma omp parallel for num_threads(int(threads)) schedule(static, 1) if (threads > 1)
  for (I t = 0; t < threads; t++) {
    const I from = units * t / threads * unit, to = smaller(units * (t + 1) / threads * unit, by_rows ? m : n);
    if (from >= to) continue;
    Matrix pa = a, pb = b, pc = c;
    if (by_rows) pa.data += from * a.row * sizeof(T), pc.data += from * c.row * sizeof(T);
    else pb.data += from * b.column * sizeof(T), pc.data += from * c.column * sizeof(T);
    T* spare = (T*)(f.scratch + t * bytes);
    multiply<T>(pa, pb, pc, by_rows ? to - from : m, by_rows ? n : to - from, k, count, T(scale), add, spare);
  }
  return 0;
}

