// Package consumer follows executions live.
package consumer
