// Asks a ClickHouse over HTTP as Grafana's ClickHouse plugin does: database/sql over clickhouse-go.
//
//	clickhouse-go ADDRESS DATABASE COMPRESSION   user and password from CLICKHOUSE_USER, CLICKHOUSE_PASSWORD
//
// Reads one JSON document a line from stdin, {"sql": "…"} or {"insert": "INSERT INTO t", "rows": [[…]]},
// and answers each with one line: {"columns", "types", "rows"} (values as text, null for NULL) or {"error"}.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

type question struct {
	SQL    string  `json:"sql"`
	Insert string  `json:"insert"`
	Rows   [][]any `json:"rows"`
}

type answer struct {
	Columns []string    `json:"columns"`
	Types   []string    `json:"types"`
	Rows    [][]*string `json:"rows"`
	Error   string      `json:"error,omitempty"`
}

var compressions = map[string]clickhouse.CompressionMethod{
	"none":    clickhouse.CompressionNone,
	"lz4":     clickhouse.CompressionLZ4,
	"zstd":    clickhouse.CompressionZSTD,
	"gzip":    clickhouse.CompressionGZIP,
	"deflate": clickhouse.CompressionDeflate,
	"br":      clickhouse.CompressionBrotli,
}

func main() {
	method, known := compressions[os.Args[3]]
	if !known {
		fmt.Fprintln(os.Stderr, "no such compression:", os.Args[3])
		os.Exit(64)
	}
	db := clickhouse.OpenDB(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{os.Args[1]},
		DialTimeout: 30 * time.Second,
		ReadTimeout: 60 * time.Second,
		Auth: clickhouse.Auth{
			Database: os.Args[2],
			Username: os.Getenv("CLICKHOUSE_USER"),
			Password: os.Getenv("CLICKHOUSE_PASSWORD"),
		},
		Compression: &clickhouse.Compression{Method: method, Level: 3},
	})
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(65)
		}
		given, err := answerTo(db, asked)
		if err != nil {
			given = answer{Error: err.Error()}
		}
		if err := out.Encode(given); err != nil {
			os.Exit(74)
		}
	}
}

func answerTo(db *sql.DB, asked question) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if asked.Insert != "" {
		return answer{}, insert(ctx, db, asked)
	}
	rows, err := db.QueryContext(ctx, asked.SQL)
	if err != nil {
		return answer{}, err
	}
	defer rows.Close()
	var given answer
	if given.Columns, err = rows.Columns(); err != nil {
		return answer{}, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return answer{}, err
	}
	for _, one := range types {
		given.Types = append(given.Types, one.DatabaseTypeName())
	}
	for rows.Next() {
		values := make([]any, len(types))
		for i, one := range types {
			values[i] = reflect.New(one.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return answer{}, err
		}
		row := make([]*string, len(values))
		for i, value := range values {
			row[i] = textOf(reflect.ValueOf(value).Elem())
		}
		given.Rows = append(given.Rows, row)
	}
	return given, rows.Err()
}

func textOf(value reflect.Value) *string {
	for value.Kind() == reflect.Pointer {
		if value.IsNil() {
			return nil
		}
		if _, isText := value.Interface().(fmt.Stringer); isText {
			break
		}
		value = value.Elem()
	}
	text := ""
	switch given := value.Interface().(type) {
	case time.Time:
		text = given.UTC().Format("2006-01-02 15:04:05.000000000")
	case string:
		text = given
	case fmt.Stringer:
		text = given.String()
	default:
		encoded, err := json.Marshal(given)
		if err != nil {
			text = fmt.Sprint(given)
		} else {
			text = string(encoded)
		}
	}
	return &text
}

func insert(ctx context.Context, db *sql.DB, asked question) error {
	scope, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	batch, err := scope.PrepareContext(ctx, asked.Insert)
	if err != nil {
		return err
	}
	for _, row := range asked.Rows {
		// JSON knows one kind of number; the tables of the test have one, too.
		for i, value := range row {
			if number, is := value.(float64); is {
				row[i] = uint32(number)
			}
		}
		if _, err := batch.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return scope.Commit()
}
