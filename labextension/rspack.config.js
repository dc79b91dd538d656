// Added to what jupyter-builder configures: style sheets without their comments and spaces.
module.exports = {
  module: { rules: [{ test: /\.css$/, enforce: 'pre', loader: 'builtin:lightningcss-loader', options: { minify: true } }] }
};
