require 'net/http'

class PreviewsController < ApplicationController
  def show
    uri = URI.parse(params[:url])
    render plain: Net::HTTP.get(uri)
  end
end
