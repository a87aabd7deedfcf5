// The ops, as torch_ops.py and the modules that define them in Python have them; kernels do the work of both.

using I = std::int64_t;
using torch::stable::Tensor;
using Two = std::tuple<Tensor, Tensor>;
using Three = std::tuple<Tensor, Tensor, Tensor>;
using Four = std::tuple<Tensor, Tensor, Tensor, Tensor>;

void check(AOTITorchError code, const char* what) {
  if (code != AOTI_TORCH_SUCCESS) fail(std::string("equipot_kernels: torch failed: ") + what);
}

Tensor empty(const Tensor& like, const std::vector<I>& sizes) {
  std::vector<I> strides(sizes.size());
  I step = 1;
  for (std::size_t axis = sizes.size(); axis-- > 0; step *= sizes[axis]) strides[axis] = step;
  std::int32_t dtype;
  check(aoti_torch_get_dtype(like.get(), &dtype), "the type of a tensor");
  AtenTensorHandle made;
  const std::int32_t cpu = aoti_torch_device_type_cpu();
  check(aoti_torch_empty_strided(static_cast<I>(sizes.size()), sizes.data(), strides.data(), dtype, cpu, 0, &made),
        "a new tensor");
  return Tensor(made);
}

Tensor empty_as(const Tensor& like, bool wanted = true) {
  return empty(like, wanted ? std::vector<I>(like.sizes().begin(), like.sizes().end()) : std::vector<I>{0});
}

Tensor whole(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

Tensor rows_of(const Tensor& tensor) {  // as in torch_ops.py
  const bool apart = tensor.dim() == 2 && tensor.stride(1) == 1 && tensor.stride(0) >= tensor.size(1);
  return apart ? tensor : whole(tensor);
}

I* row(const Tensor& index, I number) { return static_cast<I*>(index.data_ptr()) + number * index.size(1); }

I threads() {
  std::uint32_t count = 1;
  check(torch_get_num_threads(&count), "the number of threads");
  return static_cast<I>(count);
}

I given(I value) { return value; }
void* given(I* pointer) { return pointer; }
void* given(const Tensor& tensor) { return tensor.data_ptr(); }
void* given(const std::optional<Tensor>& tensor) { return tensor ? tensor->data_ptr() : nullptr; }

template <class... Arguments> void run(I kernel, const char* unit, const Arguments&... arguments) {
  using Function = void (*)(decltype(given(arguments))...);
  reinterpret_cast<Function>(unit_of(kernel, unit))(given(arguments)...);
}

// ------------------------------------------------------------------ lists

Three edge_lists(const Tensor& index_, I n_atoms) {
  const Tensor index = whole(index_);
  const Tensor ptr = empty(index, {n_atoms + 1}), sent_ptr = empty(index, {n_atoms + 1});
  const Tensor sent = empty(index, {index.size(1)});
  run(0, "edge_lists", n_atoms, index.size(1), index, ptr, sent_ptr, sent);
  const I fault = *static_cast<I*>(ptr.data_ptr());
  if (fault == -1) fail("edge_index: must hold atoms from 0 to " + std::to_string(n_atoms - 1));
  if (fault) fail("edge_index: must be sorted by centre; sort the edges by edge_index[0]");
  return {ptr, sent_ptr, sent};
}

Two type_lists(const Tensor& types_, I n_types) {
  const Tensor types = whole(types_), ptr = empty(types, {n_types + 1}), atoms = empty(types, {types.size(0)});
  run(0, "type_lists", types.size(0), n_types, types, ptr, atoms);
  if (*static_cast<I*>(ptr.data_ptr())) fail("atom_types: must hold types from 0 to " + std::to_string(n_types - 1));
  return {ptr, atoms};
}

// ------------------------------------------------------------------ convolutions

Tensor conv_forward(const Tensor& x_, const Tensor& y, const Tensor& w, const Tensor& index_, const Tensor& ptr,
                    const Tensor&, const Tensor&, I kernel) {
  const Tensor x = whole(x_), index = whole(index_), out = empty(x, {x.size(0), size_of(kernel, "dim_out")});
  run(kernel, "forward", x.size(0), x, whole(y), whole(w), ptr, row(index, 1), out, threads());
  return out;
}

Three conv_backward(const Tensor& g, const Tensor& x_, const Tensor& y_, const Tensor& w_, const Tensor& index_,
                    const Tensor&, const Tensor& sent_ptr, const Tensor& sent, I kernel, bool x_wanted, bool y_wanted,
                    bool w_wanted) {
  const Tensor x = whole(x_), y = whole(y_), w = whole(w_), index = whole(index_);
  const bool with_y = y_wanted || !x_wanted;
  const char* unit = x_wanted && y_wanted ? "backward_xyw" : x_wanted ? "backward_xw" : "backward_yw";
  const Tensor gx = empty_as(x, x_wanted), gy = empty_as(y, with_y), gw = empty_as(w);
  run(kernel, unit, x.size(0), whole(g), x, y, w, sent_ptr, sent, row(index, 0), gx, gy, gw, threads());
  return {gx, y_wanted ? gy : empty_as(y, false), w_wanted ? gw : empty_as(w, false)};
}

Three conv_double(const Tensor& hx, const Tensor& hy, const Tensor& hw, const Tensor& g_, const Tensor& x_,
                  const Tensor& y, const Tensor& w_, const Tensor& index_, const Tensor& ptr, const Tensor& sent_ptr,
                  const Tensor& sent, I kernel) {
  const Tensor a = whole(hx), b = whole(hy), c = whole(hw), g = whole(g_), x = whole(x_), v = whole(y), w = whole(w_);
  const Tensor index = whole(index_), gg = empty_as(g), gx = empty_as(x), gw = empty_as(w);
  run(kernel, "double_receive", x.size(0), a, b, c, x, v, w, ptr, row(index, 1), gg, threads());
  run(kernel, "double_send", x.size(0), a, b, c, g, x, v, w, sent_ptr, sent, row(index, 0), gx, gw, threads());
  return {gg, gx, gw};
}

Tensor conv_table_forward(const Tensor& x_, const Tensor& y, const Tensor& place, const Tensor& table,
                          const Tensor& rows, const Tensor& index_, const Tensor& ptr, const Tensor&, const Tensor&,
                          I num_knots, I kernel) {
  const Tensor x = whole(x_), index = whole(index_), out = empty(x, {x.size(0), size_of(kernel, "dim_out")});
  run(kernel, "table_forward", x.size(0), x, whole(y), whole(place), whole(rows), whole(table), num_knots, whole(ptr),
      row(index, 1), out, threads());
  return out;
}

Two rows_of_table(const Tensor& rows, I n_rows, I num_knots, I kernel) {
  const Tensor first = empty(rows, {n_rows + 1}), order = empty(rows, {rows.size(0)});
  run(kernel, "table_rows", rows.size(0), rows, num_knots, n_rows, first, order);
  return {first, order};
}

Four conv_table_backward(const Tensor& g_, const Tensor& x_, const Tensor& y_, const Tensor& place_,
                         const Tensor& table_, const Tensor& rows_, const Tensor& index_, const Tensor&,
                         const Tensor& sent_ptr, const Tensor& sent, I num_knots, I kernel, bool x_wanted,
                         bool edge_wanted, bool table_wanted) {
  const Tensor g = whole(g_), x = whole(x_), y = whole(y_), place = whole(place_), table = whole(table_);
  const Tensor rows = whole(rows_), index = whole(index_);
  const Tensor gx = empty_as(x, x_wanted), gy = empty_as(y, edge_wanted), gplace = empty_as(place, edge_wanted);
  const Tensor gtable = empty_as(table, table_wanted);
  const char* unit = !edge_wanted ? "table_backward_x" : x_wanted ? "table_backward_xyr" : "table_backward_yr";
  if (x_wanted || edge_wanted)
    run(kernel, unit, x.size(0), g, x, y, place, rows, table, num_knots, whole(sent_ptr), whole(sent), row(index, 0),
        gx, gy, gplace, threads());
  if (table_wanted) {
    const auto [first, order] = rows_of_table(rows, table.size(0), num_knots, kernel);
    run(kernel, "table_gradient", table.size(0), g, x, y, place, first, order, row(index, 0), row(index, 1), gtable,
        threads());
  }
  return {gx, gy, gplace, gtable};
}

Three conv_table_double(const Tensor& hx, const Tensor& hy, const Tensor& hplace, const Tensor& g_, const Tensor& x_,
                        const Tensor& y_, const Tensor& place_, const Tensor& table_, const Tensor& rows_,
                        const Tensor& index_, const Tensor& ptr, const Tensor& sent_ptr, const Tensor& sent,
                        I num_knots, I kernel, bool table_wanted) {
  const Tensor a = whole(hx), b = whole(hy), c = whole(hplace), g = whole(g_), x = whole(x_), y = whole(y_);
  const Tensor place = whole(place_), table = whole(table_), rows = whole(rows_), index = whole(index_);
  const Tensor gg = empty_as(g), gx = empty_as(x), gtable = empty_as(table, table_wanted);
  run(kernel, "table_double_receive", x.size(0), a, b, c, x, y, place, rows, table, num_knots, whole(ptr),
      row(index, 1), gg, threads());
  run(kernel, "table_double_send", x.size(0), a, b, c, g, x, y, place, rows, table, num_knots, whole(sent_ptr),
      whole(sent), row(index, 0), gx, threads());
  if (table_wanted) {
    const auto [first, order] = rows_of_table(rows, table.size(0), num_knots, kernel);
    run(kernel, "table_double_gradient", table.size(0), a, b, c, g, x, y, place, first, order, row(index, 0),
        row(index, 1), gtable, threads());
  }
  return {gg, gx, gtable};
}

// ------------------------------------------------------------------ contractions

Tensor al_mv(const Tensor& matrices, const Tensor& x, const Tensor& ptr, I kernel) {
  const Tensor out = empty(x, {x.size(0), matrices.size(2), x.size(2)});
  run(kernel, "apply", ptr.size(0) - 1, whole(matrices), whole(x), ptr, out, threads());
  return out;
}

Tensor al_mvt(const Tensor& matrices, const Tensor& g, const Tensor& ptr, I kernel) {
  const Tensor out = empty(g, {g.size(0), matrices.size(1), g.size(2)});
  run(kernel, "transposed", ptr.size(0) - 1, whole(matrices), whole(g), ptr, out, threads());
  return out;
}

Tensor al_outer(const Tensor& x, const Tensor& g, const Tensor& ptr, I kernel) {
  const Tensor out = empty(x, {ptr.size(0) - 1, x.size(1), g.size(1), x.size(2)});
  run(kernel, "outer", ptr.size(0) - 1, whole(x), whole(g), ptr, out, threads());
  return out;
}

Tensor cg_matrices(const Tensor& q, const Tensor& a, I kernel) {
  const Tensor out = empty(a, {a.size(0), size_of(kernel, "dim_in"), size_of(kernel, "dim_out"), q.size(1)});
  run(kernel, "matrices", a.size(0), whole(q), whole(a), out, threads());
  return out;
}

Tensor cg_environment(const Tensor& q, const Tensor& g, I kernel) {
  const Tensor out = empty(g, {g.size(0), size_of(kernel, "dim_edge"), q.size(1)});
  run(kernel, "environment", g.size(0), whole(q), whole(g), out, threads());
  return out;
}

Tensor cg_weights(const Tensor& a, const Tensor& g, I kernel) {
  const Tensor out = empty(a, {size_of(kernel, "paths"), a.size(2)});
  run(kernel, "weights", g.size(0), whole(a), whole(g), out, threads());
  return out;
}

Tensor env_sum(const Tensor& y, const Tensor& w_, const Tensor& ptr, I kernel) {
  const Tensor w = rows_of(w_), out = empty(y, {ptr.size(0) - 1, size_of(kernel, "dim"), size_of(kernel, "channels")});
  run(kernel, "sum", ptr.size(0) - 1, whole(y), w, w.stride(0), ptr, out, threads());
  return out;
}

Tensor env_weights(const Tensor& y, const Tensor& g, const Tensor& ptr, I kernel) {
  const Tensor out = empty(y, {y.size(0), size_of(kernel, "blocks") * size_of(kernel, "channels")});
  run(kernel, "weights", ptr.size(0) - 1, whole(y), whole(g), ptr, out, threads());
  return out;
}

Tensor env_attributes(const Tensor& w_, const Tensor& g, const Tensor& ptr, I kernel) {
  const Tensor w = rows_of(w_), out = empty(w, {w.size(0), size_of(kernel, "dim")});
  run(kernel, "attributes", ptr.size(0) - 1, w, w.stride(0), whole(g), ptr, out, threads());
  return out;
}

Tensor init_apply(const Tensor& matrices, const Tensor& y, const Tensor& w_, const Tensor& ptr, I kernel) {
  const Tensor w = rows_of(w_), out = empty(y, {y.size(0), matrices.size(2), matrices.size(3)});
  run(kernel, "apply", ptr.size(0) - 1, whole(matrices), whole(y), w, w.stride(0), ptr, out, threads());
  return out;
}

Tensor init_outer(const Tensor& y, const Tensor& w_, const Tensor& g, const Tensor& ptr, I kernel) {
  const Tensor w = rows_of(w_), out = empty(y, {ptr.size(0) - 1, y.size(1), g.size(1), g.size(2)});
  run(kernel, "outer", ptr.size(0) - 1, whole(y), w, w.stride(0), whole(g), ptr, out, threads());
  return out;
}

Two init_backward(const Tensor& matrices, const Tensor& y, const Tensor& w_, const Tensor& g, const Tensor& ptr,
                  I kernel, bool y_wanted, bool w_wanted) {
  const Tensor w = rows_of(w_), gy = empty_as(y, y_wanted), gw = empty_as(w, w_wanted);
  const std::optional<Tensor> none, to_y = y_wanted ? std::optional(gy) : none, to_w = w_wanted ? std::optional(gw) : none;
  run(kernel, "backward", ptr.size(0) - 1, whole(matrices), whole(y), w, w.stride(0), whole(g), ptr, to_y, to_w,
      threads());
  return {gy, gw};
}

// ------------------------------------------------------------------ splines and matrices of types

Tensor spline_evaluate(const Tensor& table, const Tensor& rows, const Tensor& place,
                       const std::optional<Tensor>& scale, I order, I kernel) {
  const Tensor out = empty(table, {rows.size(0), table.size(2)});
  const std::optional<Tensor> factor = scale ? std::optional(whole(*scale)) : std::nullopt;
  run(kernel, "evaluate", rows.size(0), whole(table), whole(rows), whole(place), factor, out, order, threads());
  return out;
}

Tensor spline_contract(const Tensor& table, const Tensor& rows, const Tensor& place, const Tensor& g, I order,
                       I kernel) {
  const Tensor out = empty(place, {rows.size(0)});
  run(kernel, "contract", rows.size(0), whole(table), whole(rows), whole(place), whole(g), out, order, threads());
  return out;
}

Tensor spline_scatter(const Tensor& g, const Tensor& rows, const Tensor& place, const std::optional<Tensor>& scale,
                      I n_rows, I order, I kernel) {
  const Tensor out = empty(g, {n_rows, 4, g.size(1)}), first = empty(rows, {n_rows + 1});
  const Tensor sorted = empty(rows, {rows.size(0)});
  const std::optional<Tensor> factor = scale ? std::optional(whole(*scale)) : std::nullopt;
  run(kernel, "scatter", rows.size(0), n_rows, whole(rows), whole(place), factor, whole(g), first, sorted, out, order,
      threads());
  return out;
}

Tensor typed_apply(const Tensor& matrices, const Tensor& x, const Tensor& ptr, const Tensor& atoms, I kernel) {
  const Tensor out = empty(x, {x.size(0), size_of(kernel, "dim_out")});
  run(kernel, "apply", x.size(0), whole(matrices), whole(x), ptr, atoms, out, threads());
  return out;
}

Tensor typed_transposed(const Tensor& matrices, const Tensor& g, const Tensor& ptr, const Tensor& atoms, I kernel) {
  const Tensor out = empty(g, {g.size(0), size_of(kernel, "dim_in")}), spare = empty_as(matrices);
  run(kernel, "transposed", ptr.size(0) - 1, g.size(0), whole(matrices), spare, whole(g), ptr, atoms, out, threads());
  return out;
}

Tensor typed_outer(const Tensor& x, const Tensor& g, const Tensor& ptr, const Tensor& atoms, I kernel) {
  const Tensor out = empty(x, {ptr.size(0) - 1, size_of(kernel, "size")});
  run(kernel, "outer", ptr.size(0) - 1, whole(x), whole(g), ptr, atoms, out, threads());
  return out;
}
