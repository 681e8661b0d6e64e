package d1

import (
	"net/http"
	"time"
)

// The endpoints of D1 as [Config.Observe] is told of them; another one is
// "other".
const (
	EndpointToken  = "token"
	EndpointOrder  = "order"
	EndpointBatch  = "orders"
	EndpointStatus = "production_status"
)

// observe tells of a request that was answered, or was not: then resp is nil.
func (c *Config) observe(endpoint string, resp *http.Response, started time.Time) {
	if c.Observe == nil {
		return
	}
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	if endpoint == "" {
		endpoint = "other"
	}
	c.Observe(endpoint, status, time.Since(started))
}
