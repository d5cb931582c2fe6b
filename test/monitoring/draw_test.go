package monitoring_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	pixel "image/color"
	"image/draw"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-analyze/charts"
	"github.com/prometheus/common/model"

	"lockd/test/needs"
)

// The picture in docs is drawn by `make dashboard`, which gives both.
var (
	drawTo  = flag.String("draw", "", "where to draw the picture of the dashboard")
	drawFor = flag.Duration("draw-for", 4*time.Second, "how long the load lasts that the picture shows")
)

// The picture, in pixels.
const (
	columnWidth = 68
	rowHeight   = 27
	gap         = 5 // between panels
)

func TestTheDashboardCanBeDrawn(t *testing.T) {
	needs.Full(t, "prometheus")
	t.Parallel()
	server := startLockd(t, crowded)
	p := startPrometheus(t, server.http, asDeployed, func(config string) string {
		target := fmt.Sprintf("targets: [%q]", server.http)
		return strings.Replace(config, target, target+"\n        labels: {instance: \"lockd:9996\"}", 1)
	})
	p.becomes(t, "up", 1)
	s := span{from: time.Now(), step: max(scrapeInterval, *drawFor/120)}
	day(t, server, *drawFor)
	s.to = time.Now()

	picture := drawBoard(t, p, s)
	path := *drawTo
	if path == "" {
		path = filepath.Join(t.TempDir(), "dashboard.png")
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	if len(picture) < 50_000 || len(picture) > 300_000 {
		t.Errorf("the picture has %d bytes", len(picture))
	}
}

// The picture in docs shows all of the dashboard: it has the size that this one
// would have.
func TestThePictureInTheDocumentsIsOfThisDashboard(t *testing.T) {
	file := read(t, filepath.Join(needs.Repository(), "docs", "dashboard.png"))
	config, err := png.DecodeConfig(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	width, height := pictureSize(readBoard(t))
	if config.Width != width || config.Height != height {
		t.Errorf("docs/dashboard.png has %d x %d pixels, the dashboard %d x %d: run make dashboard", config.Width, config.Height, width, height)
	}
}

func pictureSize(b board) (width, height int) {
	for _, panel := range b.Panels {
		height = max(height, (panel.GridPos.Y+panel.GridPos.H)*rowHeight)
	}
	return gridWidth*columnWidth + gap, height + gap
}

// drawBoard draws every panel at its place.
func drawBoard(t *testing.T, p *prom, s span) []byte {
	t.Helper()
	b := readBoard(t)
	v := b.variables(t, p, s)
	width, height := pictureSize(b)
	theme := charts.GetTheme(charts.ThemeGrafana)
	canvas := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputPNG, Width: width, Height: height, Theme: theme})
	canvas.FilledRect(0, 0, width, height, hex("#111217"), hex("#111217"), 0)
	for _, panel := range b.Panels {
		g := panel.GridPos
		cell := canvas.Child(charts.PainterBoxOption(charts.Box{
			Left: g.X*columnWidth + gap, Top: g.Y*rowHeight + gap, Right: (g.X + g.W) * columnWidth, Bottom: (g.Y + g.H) * rowHeight, IsSet: true,
		}))
		var series []named
		for _, target := range panel.Targets {
			for _, stream := range p.run(t, target, v, s) {
				series = append(series, named{strings.TrimSpace(legend(target.LegendFormat, stream.Metric)), stream.Values})
			}
		}
		switch panel.Type {
		case "row":
			cell.Text(panel.Title, 4, 18, 0, font(12, "#ffffff"))
		case "stat":
			drawStat(cell, panel, series)
		default:
			if err := drawLines(cell, panel, series, s); err != nil {
				t.Errorf("%s: %v", panel.Title, err)
			}
		}
	}
	picture, err := canvas.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return smaller(t, picture)
}

// smaller keeps the 256 most frequent colors of a picture, which halves it: the
// others are edges of letters and lines.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	bounds, often := full.Bounds(), make(map[pixel.RGBA]int)
	pixels := image.NewRGBA(bounds)
	draw.Draw(pixels, bounds, full, bounds.Min, draw.Src)
	at := func(i int) pixel.RGBA {
		p := pixels.Pix[4*i : 4*i+4]
		return pixel.RGBA{R: p[0], G: p[1], B: p[2], A: p[3]}
	}
	for i := range len(pixels.Pix) / 4 {
		often[at(i)]++
	}
	colors := slices.SortedFunc(maps.Keys(often), func(a, b pixel.RGBA) int { return often[b] - often[a] })
	var palette pixel.Palette
	for _, c := range colors[:min(256, len(colors))] {
		palette = append(palette, c)
	}
	nearest := make(map[pixel.RGBA]uint8)
	for _, c := range colors {
		nearest[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(bounds, palette)
	for i := range small.Pix {
		small.Pix[i] = nearest[at(i)]
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A named is a series with what its legend says.
type named struct {
	name   string
	values []model.SamplePair
}

func hex(color string) charts.Color { return charts.ColorFromHex(color) }

func font(size float64, color string) charts.FontStyle {
	return charts.FontStyle{FontSize: size, FontColor: hex(color)}
}

// Grafana's names for the colors of thresholds.
func color(name string) charts.Color {
	return hex(map[string]string{"green": "#299c46", "red": "#c4162a", "orange": "#d46d12", "blue": "#1f60c4"}[name])
}

func drawStat(cell *charts.Painter, panel panel, series []named) {
	text, fill := "none", "blue"
	if len(series) > 0 {
		value := float64(series[0].values[len(series[0].values)-1].Value)
		text, fill = shown(panel, series[0].name, value)
	}
	cell.FilledRect(0, 0, cell.Width(), cell.Height(), color(fill), color(fill), 0)
	cell.Text(panel.Title, 8, 18, 0, font(10, "#e8e8e8"))
	style := font(19, "#ffffff")
	box := cell.MeasureText(text, 0, style)
	cell.Text(text, (cell.Width()-box.Width())/2, cell.Height()/2+20, 0, style)
}

// shown is a value as a stat panel shows it, and the color behind it.
func shown(panel panel, name string, value float64) (text, fill string) {
	defaults := panel.FieldConfig.Defaults
	for _, step := range defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			fill = step.Color
		}
	}
	for _, m := range defaults.Mappings {
		if option, ok := m.Options[fmt.Sprint(value)]; ok {
			return option.Text, option.Color
		}
	}
	if panel.Options.TextMode == "name" {
		return name, fill
	}
	return format(defaults.Unit, value), fill
}

func drawLines(cell *charts.Painter, panel panel, series []named, s span) error {
	const background = "#181b1f"
	cell.FilledRect(0, 0, cell.Width(), cell.Height(), hex(background), hex("#2c3235"), 1)
	theme := charts.GetTheme(charts.ThemeGrafana).WithBackgroundColor(hex(background))
	bottom := drawLegend(cell, theme, series)
	var data [][]float64
	most := 0.0
	for _, one := range series {
		data = append(data, onGrid(one.values, s))
		for _, v := range one.values {
			if !math.IsNaN(float64(v.Value)) {
				most = max(most, float64(v.Value))
			}
		}
	}
	if limit := panel.FieldConfig.Defaults.Max; limit != nil {
		most = *limit
	}
	grey := font(8, "#9a9aa5")
	option := charts.NewLineChartOptionWithData(data)
	option.Theme, option.Padding = theme, charts.Box{Left: 8, Right: 18, Bottom: 2, IsSet: true}
	option.Legend.Show = charts.Ptr(false)
	option.XAxis = charts.XAxisOption{Labels: clock(s), LabelCount: 4, LabelFontStyle: grey, BoundaryGap: charts.Ptr(false)}
	option.YAxis[0] = charts.YAxisOption{
		Min: charts.Ptr(0.0), Max: charts.Ptr(rounded(most)), LabelFontStyle: grey, LabelCount: 5,
		ValueFormatter: func(v float64) string { return format(panel.FieldConfig.Defaults.Unit, v) },
	}
	option.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	option.LineStrokeWidth, option.FillArea, option.FillOpacity = 1.5, charts.Ptr(true), 20
	err := cell.Child(charts.PainterPaddingOption(charts.Box{Left: 1, Right: 1, Top: 28, Bottom: bottom, IsSet: true})).LineChart(option)
	cell.Text(panel.Title, 8, 18, 0, font(10, "#ccccdc"))
	return err
}

// drawLegend names the series at the bottom of a panel, and returns how much of
// it that takes.
func drawLegend(cell *charts.Painter, theme charts.ColorPalette, series []named) (height int) {
	const line, bar = 15, 14
	style := font(8, "#ccccdc")
	type place struct{ x, row int }
	var places []place
	x, row := 10, 0
	for _, one := range series {
		width := bar + 6 + cell.MeasureText(one.name, 0, style).Width() + 14
		if x+width > cell.Width() && x > 10 {
			x, row = 10, row+1
		}
		places = append(places, place{x, row})
		x += width
	}
	for i, at := range places {
		y := cell.Height() - 8 - line*(row-at.row)
		cell.FilledRect(at.x, y-5, at.x+bar, y-2, theme.GetSeriesColor(i), theme.GetSeriesColor(i), 0)
		cell.Text(series[i].name, at.x+bar+6, y, 0, style)
	}
	return line*(row+1) + 6
}

// rounded is the next number that four lines divide well.
func rounded(most float64) float64 {
	if most <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(most)))
	for _, step := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10} {
		if most <= step*unit {
			return step * unit
		}
	}
	return most
}

// onGrid has a value for each step, none where there is none.
func onGrid(values []model.SamplePair, s span) []float64 {
	grid := make([]float64, int(s.to.Sub(s.from)/s.step)+1)
	for i := range grid {
		grid[i] = charts.GetNullValue()
	}
	for _, v := range values {
		i := int(math.Round(float64(v.Timestamp.Time().Sub(s.from)) / float64(s.step)))
		if i >= 0 && i < len(grid) && !math.IsNaN(float64(v.Value)) {
			grid[i] = float64(v.Value)
		}
	}
	return grid
}

func clock(s span) (labels []string) {
	for at := s.from; !at.After(s.to); at = at.Add(s.step) {
		labels = append(labels, at.UTC().Format("15:04:05"))
	}
	return labels
}

// format shows a value in one of Grafana's units, as short as it does.
func format(unit string, value float64) string {
	switch unit {
	case "percentunit":
		return short(value*100) + "%"
	case "bytes":
		return scaled(value, 1024, " B", " KiB", " MiB", " GiB")
	case "s":
		if value > 0 && value < 1 {
			return scaled(value*1e6, 1000, " µs", " ms", " s")
		}
		if value >= 120 {
			return short(value/60) + " min"
		}
		return short(value) + " s"
	case "cps":
		return scaled(value, 1000, " c/s", "K c/s", "M c/s")
	default:
		return scaled(value, 1000, "", " K", " Mil")
	}
}

func scaled(value, by float64, units ...string) string {
	for value >= by && len(units) > 1 {
		value, units = value/by, units[1:]
	}
	return short(value) + units[0]
}

// short has at most three digits that matter.
func short(value float64) string {
	text := fmt.Sprintf("%.*f", max(0, 2-max(0, int(math.Log10(max(math.Abs(value), 1))))), value)
	if strings.Contains(text, ".") {
		text = regexp.MustCompile(`\.?0+$`).ReplaceAllString(text, "")
	}
	return text
}
